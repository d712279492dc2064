import GristCore
import GristModel
import GristSources
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
  private final class Job: Sendable {
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

  private struct Shared {
    var state = State.loading
    var waiting: [Job] = []
    /// How many answers each client has under way.
    var running: [String: Int] = [:]
    var isStopped = false
    var counters = EngineCounters()
    var model: VisionLanguageModel?
  }

  private let shared = Monitor(Shared())
  private let limits: Limits
  private let thread: Mutex<ServiceThreads?> = Mutex(nil)

  /// Opens a model on the engine's own thread, and answers from then on.
  ///
  /// - Parameters:
  ///   - limits: what is done at a time.
  ///   - open: opens the model.
  ///
  /// - Throws: 71 when the system gives no thread.
  public init(limits: Limits = Limits(), open: @escaping @Sendable () throws -> VisionLanguageModel) throws {
    self.limits = limits
    let started = try ServiceThreads(count: 1) { [shared, limits] in Self.serve(shared, limits, open) }
    thread.withLock { $0 = started }
  }

  public var state: State { shared.change { $0.state } }
  public var counters: EngineCounters {
    shared.change { shared in
      var counters = shared.counters
      counters.waiting = shared.waiting.count
      counters.running = shared.running.values.reduce(0, +)
      return counters
    }
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
    let refusal = shared.change { [limits] shared -> ServingError? in
      switch shared.state {
      case .loading: return ServingError(503, "the model is being loaded; ask again", code: "loading")
      case .failed: return ServingError(503, "the model could not be loaded", code: "not_loaded")
      case .ready: break
      }
      guard !shared.isStopped else { return ServingError(503, "the server is stopping", code: "stopping") }
      guard shared.waiting.count < limits.queue else {
        shared.counters.refused += 1
        return ServingError(429, "\(limits.queue) requests wait already; ask again later", code: "queue_full")
      }
      shared.waiting.append(job)
      return nil
    }
    if let refusal { throw refusal }
    return stream
  }

  private static func serve(
    _ shared: Monitor<Shared>, _ limits: Limits, _ open: () throws -> VisionLanguageModel
  ) {
    do {
      let model = try open()
      // Formats that are not computed with as they lie keep what they keep.
      try? model.boundScratch()
      shared.change { ($0.model, $0.state) = (model, .ready) }
      var worker = Worker(model, limits, shared)
      worker.run()
    } catch {
      let failure = error as? GristError ?? GristError(.badData, "the model cannot be opened")
      shared.change { $0.state = .failed(failure) }
    }
  }

  /// What the engine's thread does.
  private struct Worker {
    /// An answer under way.
    private struct Running {
      let job: Job
      let answer: Answering
      let began: ContinuousClock.Instant
    }

    private let model: VisionLanguageModel
    private let limits: Limits
    private let shared: Monitor<Shared>
    private let memory: PromptMemory
    private var running: [Running] = []

    init(_ model: VisionLanguageModel, _ limits: Limits, _ shared: Monitor<Shared>) {
      (self.model, self.limits, self.shared) = (model, limits, shared)
      memory = PromptMemory(model, budget: limits.memory)
    }

    mutating func run() {
      while true {
        // One prompt between two tokens: neither holds the other up for long.
        switch next() {
        case .stop:
          return stop()
        case .job(let job): begin(job)
        case .nothing: break
        }
        step()
      }
    }

    private enum Next {
      case job(Job)
      case nothing, stop
    }

    /// The next request, of the client that has the fewest answers under way; waits where there is nothing else to do.
    private func next() -> Next {
      let (isIdle, hasRoom) = (running.isEmpty, running.count < limits.parallel)
      let next = try? shared.wait { shared -> Next? in
        if shared.isStopped { return .stop }
        shared.waiting.removeAll { $0.isGone.load(ordering: .relaxed) }
        guard hasRoom, !shared.waiting.isEmpty else { return isIdle ? nil : .nothing }
        let index = shared.waiting.indices.min { a, b in
          let (x, y) = (shared.waiting[a], shared.waiting[b])
          return (shared.running[x.client] ?? 0, a) < (shared.running[y.client] ?? 0, b)
        }
        guard let index else { return .nothing }
        let job = shared.waiting.remove(at: index)
        shared.running[job.client, default: 0] += 1
        return .job(job)
      }
      return next ?? .stop
    }

    /// Looks at the picture, reads the prompt.
    private mutating func begin(_ job: Job) {
      let clock = ContinuousClock()
      let queued = clock.now
      do {
        try requireWritable(job.request.conversation)
        let pictures = try job.request.pictures.map(look)
        let wereKept = pictures.allSatisfy(\.wereKept) && !pictures.isEmpty
        let prompt = try model.prepare(
          job.request.conversation, images: pictures.map(\.features), granularity: job.request.granularity)
        let seen = clock.now
        let context = min(limits.context ?? .max, model.configuration.maximumLength)
        guard prompt.sequenceLength <= context else {
          throw ServingError(
            400, "the prompt takes \(prompt.sequenceLength) rows, and there is room for \(context)",
            parameter: "messages", code: "context_length_exceeded")
        }
        let limit = min(job.request.maxTokens ?? limits.maxTokens, context - prompt.sequenceLength + 1)
        let (session, kept) = try memory.start(prompt, newTokens: limit)
        let read = clock.now
        let grid =
          if pictures.count == 1, let granularity = prompt.granularity {
            try model.tokenGrid(of: pictures[0].features, granularity: granularity)
          } else { TokenGrid?.none }
        job.events.yield(
          .began(
            AnswerBeginning(
              granularity: prompt.granularity, decision: prompt.decision,
              tiles: prompt.tiles, rows: prompt.sequenceLength, pictureRows: prompt.pictureRows, keptRows: kept,
              pictureWasKept: wereKept, grid: grid, queueSeconds: (queued - job.asked).seconds,
              pictureSeconds: (seen - queued).seconds, prefillSeconds: (read - seen).seconds)))
        shared.change { shared in
          shared.counters.requests += 1
          shared.counters.promptRows += prompt.sequenceLength
          shared.counters.keptRows += kept
          shared.counters.pictures += pictures.count
          shared.counters.keptPictures += pictures.filter(\.wereKept).count
          shared.counters.pictureSeconds += (seen - queued).seconds
          shared.counters.prefillSeconds += (read - seen).seconds
        }
        let answer = Answering(
          model, session, sampler: job.request.sampler, stops: job.request.stops,
          topLogprobs: job.request.topLogprobs, limit: limit)
        running.append(Running(job: job, answer: answer, began: read))
      } catch {
        fail(job, error)
      }
    }

    /// Before pictures are looked at: what the model's template refuses, or says nothing of.
    private func requireWritable(_ conversation: Conversation) throws {
      do {
        try model.requirePlaces(of: conversation)
        _ = try conversation.rendering(model.configuration.format)
      } catch let error as GristError {
        let said = [error.what, error.found].compactMap { $0 }.joined(separator: "; ")
        throw ServingError(400, said, parameter: "messages", code: "invalid_conversation")
      }
    }

    private func look(
      _ picture: ChatPicture
    ) throws -> (features: VisionLanguageModel.ImageFeatures, wereKept: Bool) {
      guard let bytes = picture.bytes else { throw ServingError(500, "a picture was not fetched") }
      do { return try memory.features(of: bytes, name: "the picture") } catch let error as GristError
        where error.code == .badData && error.reason == nil
      {
        let said = [error.what, error.found].compactMap { $0 }.joined(separator: ": ")
        throw ServingError(
          400, "the picture cannot be read: \(said)", parameter: picture.place, code: "invalid_image")
      }
    }

    /// Takes a token of every answer, and appends those that go on, all in one pass.
    private mutating func step() {
      var steps: [(running: Running, token: Int)] = []
      for item in running {
        guard !item.job.isGone.load(ordering: .relaxed) else {
          end(item)
          continue
        }
        do {
          let step = try item.answer.step()
          if !step.text.isEmpty || step.logprob != nil {
            item.job.events.yield(.piece(text: step.text, logprob: step.logprob))
          }
          if let token = step.next { steps.append((item, token)) } else { finish(item) }
        } catch { end(item, failing: error) }
      }
      guard !steps.isEmpty else {
        running = []
        return
      }
      do {
        try model.advance(steps.map { (session: $0.running.answer.session, tokens: [$0.token]) })
        running = steps.map(\.running)
      } catch {
        // Whose value spoiled it shows when each goes on alone.
        running = []
        for (item, token) in steps {
          do {
            try item.answer.session.advance(token)
            running.append(item)
          } catch { end(item, failing: error) }
        }
      }
    }

    private func finish(_ item: Running) {
      let seconds = (ContinuousClock.now - item.began).seconds
      item.job.events.yield(
        .ended(
          AnswerEnding(reason: item.answer.finish ?? "stop", tokens: item.answer.tokens, decodeSeconds: seconds)))
      end(item)
    }

    /// Takes an answer's session back.
    private func end(_ item: Running, failing error: (any Error)? = nil) {
      memory.finish(item.answer.session)
      let seconds = (ContinuousClock.now - item.began).seconds
      shared.change { shared in
        shared.counters.answerTokens += item.answer.tokens.count
        shared.counters.decodeSeconds += seconds
        shared.counters.failed += error == nil ? 0 : 1
        leave(item.job, &shared)
      }
      if let error { item.job.events.finish(throwing: ServingError(error)) } else { item.job.events.finish() }
    }

    private func fail(_ job: Job, _ error: any Error) {
      shared.change { shared in
        shared.counters.failed += 1
        leave(job, &shared)
      }
      job.events.finish(throwing: ServingError(error))
    }

    private func leave(_ job: Job, _ shared: inout Shared) {
      shared.running[job.client, default: 1] -= 1
      if shared.running[job.client] == 0 { shared.running[job.client] = nil }
    }

    private mutating func stop() {
      let stopping = ServingError(503, "the server is stopping", code: "stopping")
      for item in running { end(item, failing: stopping) }
      running = []
      let waiting = shared.change { shared in
        defer { shared.waiting = [] }
        return shared.waiting
      }
      for job in waiting { job.events.finish(throwing: stopping) }
    }
  }
}

/// What an engine did so far.
public struct EngineCounters: Sendable, Equatable {
  public internal(set) var requests = 0
  public internal(set) var failed = 0
  public internal(set) var refused = 0
  public internal(set) var promptRows = 0
  public internal(set) var keptRows = 0
  public internal(set) var pictures = 0
  public internal(set) var keptPictures = 0
  public internal(set) var answerTokens = 0
  public internal(set) var pictureSeconds = 0.0
  public internal(set) var prefillSeconds = 0.0
  public internal(set) var decodeSeconds = 0.0
  public internal(set) var waiting = 0
  public internal(set) var running = 0
}
