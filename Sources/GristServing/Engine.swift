import GristCore
import GristModel
import Metrics
internal import Synchronization

/// Answers many clients with one model: one queue, one computation at a time on all cores, and several conversations
/// whose tokens are decoded in turn, together where that changes nothing.
public final class Engine: Sendable {
  public struct Limits: Sendable {
    /// Conversations that are answered at a time.
    public var parallel = 1
    /// Requests that wait, at most.
    public var queue = 64
    /// Tokens of an answer where a request does not say.
    public var maxTokens = 512
    /// Rows of prompt and answer together, at most; nil where the model's context alone counts.
    public var context: Int?
    /// Bytes of features, keys and values that are kept for later requests.
    public var memory = 1 << 30

    public init() {}
  }

  /// Whether the model is there.
  public enum State: Sendable {
    case loading, ready
    case failed(GristError)
  }

  /// A request on its way.
  final class Job: Sendable {
    let request: ChatRequest
    /// Who asks: nobody gets a second turn before everybody had a first.
    let client: String
    let events: AsyncThrowingStream<AnswerEvent, any Error>.Continuation
    let isGone = Atomic(false)
    let asked = ContinuousClock.now

    init(
      _ request: ChatRequest, client: String, _ events: AsyncThrowingStream<AnswerEvent, any Error>.Continuation
    ) {
      (self.request, self.client, self.events) = (request, client, events)
    }
  }

  struct Shared {
    var state = State.loading
    var waiting: [Job] = []
    /// How many answers each client has under way.
    var running: [String: Int] = [:]
    var isStopped = false
    var model: VisionLanguageModel?
  }

  private let shared = Monitor(Shared())
  private let limits: Limits
  private let metrics: EngineMetrics
  private let thread: Mutex<ServiceThreads?> = Mutex(nil)

  /// Opens a model on the engine's own thread, and answers from then on.
  ///
  /// - Parameters:
  ///   - limits: what is done at a time.
  ///   - factory: where measurements go; those of the process where nothing is said.
  ///   - open: opens the model.
  ///
  /// - Throws: 71 when the system gives no thread.
  public init(
    limits: Limits = Limits(), metrics factory: (any MetricsFactory)? = nil,
    open: @escaping @Sendable () throws -> VisionLanguageModel
  ) throws {
    self.limits = limits
    metrics = EngineMetrics(factory ?? MetricsSystem.factory)
    let started = try ServiceThreads(count: 1) { [shared, limits, metrics] in
      Self.serve(shared, limits, metrics, open)
    }
    thread.withLock { $0 = started }
  }

  public var state: State { shared.change { $0.state } }
  /// How many requests wait, and how many answers are under way.
  public var load: (waiting: Int, running: Int) {
    shared.change { ($0.waiting.count, $0.running.values.reduce(0, +)) }
  }
  /// Nil until the model is there.
  public var model: VisionLanguageModel? { shared.change { $0.model } }

  /// Takes no more requests, ends those under way, and waits for the thread.
  public func stop() {
    shared.change { $0.isStopped = true }
    thread.withLock { thread in
      thread?.join()
      thread = nil
    }
  }

  /// Asks. Who stops listening ends the answer within a token.
  ///
  /// - Throws: 503 while the model is not there, 429 when too many wait.
  public func ask(
    _ request: ChatRequest, client: String
  ) throws(ServingError) -> AsyncThrowingStream<AnswerEvent, any Error> {
    let (stream, events) = AsyncThrowingStream<AnswerEvent, any Error>.makeStream()
    let job = Job(request, client: client, events)
    events.onTermination = { [shared] _ in
      job.isGone.store(true, ordering: .relaxed)
      shared.change { _ in }
    }
    let refusal = shared.change { [limits, metrics] shared -> ServingError? in
      switch shared.state {
      case .loading: return ServingError(503, "the model is being loaded; ask again", code: "loading")
      case .failed: return ServingError(503, "the model could not be loaded", code: "not_loaded")
      case .ready: break
      }
      guard !shared.isStopped else { return ServingError(503, "the server is stopping", code: "stopping") }
      guard shared.waiting.count < limits.queue else {
        metrics.refusals.increment()
        return ServingError(429, "\(limits.queue) requests wait already; ask again later", code: "queue_full")
      }
      shared.waiting.append(job)
      metrics.record(shared)
      return nil
    }
    if let refusal { throw refusal }
    return stream
  }

  private static func serve(
    _ shared: Monitor<Shared>, _ limits: Limits, _ metrics: EngineMetrics, _ open: () throws -> VisionLanguageModel
  ) {
    do {
      let model = try open()
      // Formats that are not computed with as they lie keep what they keep.
      try? model.boundScratch()
      shared.change { ($0.model, $0.state) = (model, .ready) }
      var worker = EngineWorker(model, limits, shared, metrics)
      worker.run()
    } catch {
      let failure = error as? GristError ?? GristError(.badData, "the model cannot be opened")
      shared.change { $0.state = .failed(failure) }
    }
  }
}
