import GristCore
import GristModel
import GristSources
internal import Synchronization

/// What an engine's thread does: takes requests from the queue, reads their prompts, and decodes all answers together.
struct EngineWorker {
  /// An answer under way.
  private struct Running {
    let job: Engine.Job
    let answer: Answering
    let began: ContinuousClock.Instant
  }

  private let model: VisionLanguageModel
  private let limits: Engine.Limits
  private let shared: Monitor<Engine.Shared>
  private let metrics: EngineMetrics
  private let memory: PromptMemory
  private var running: [Running] = []

  init(
    _ model: VisionLanguageModel, _ limits: Engine.Limits, _ shared: Monitor<Engine.Shared>, _ metrics: EngineMetrics
  ) {
    (self.model, self.limits, self.shared, self.metrics) = (model, limits, shared, metrics)
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
    case job(Engine.Job)
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
      metrics.record(shared)
      return .job(job)
    }
    return next ?? .stop
  }

  /// Looks at the picture, reads the prompt.
  private mutating func begin(_ job: Engine.Job) {
    let clock = ContinuousClock()
    let queued = clock.now
    do {
      let context = min(limits.context ?? .max, model.configuration.maximumLength)
      try requireWritable(job.request.conversation)
      try requireRoom(pictures: job.request.pictures.count, context)
      let pictures = try job.request.pictures.map(look)
      let wereKept = pictures.allSatisfy(\.wereKept) && !pictures.isEmpty
      let prompt = try model.prepare(
        job.request.conversation, images: pictures.map(\.features), granularity: job.request.granularity)
      let seen = clock.now
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
      metrics.requests.increment()
      metrics.promptRows.increment(by: prompt.sequenceLength)
      metrics.keptRows.increment(by: kept)
      metrics.pictures.increment(by: pictures.count)
      metrics.keptPictures.increment(by: pictures.filter(\.wereKept).count)
      metrics.queue.record(seconds: (queued - job.asked).seconds)
      metrics.picture.record(seconds: (seen - queued).seconds)
      metrics.prefill.record(seconds: (read - seen).seconds)
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

  /// Before pictures are looked at: so many that they cannot have room at the coarsest grid.
  private func requireRoom(pictures: Int, _ context: Int) throws {
    let least = model.configuration.granularities.min() ?? model.configuration.patchesPerTile
    guard pictures > 0, pictures * least > context else { return }
    throw ServingError(
      400, "\(pictures) pictures take \(pictures * least) rows at least, and there is room for \(context)",
      parameter: "messages", code: "context_length_exceeded")
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
    metrics.answerTokens.increment(by: item.answer.tokens.count)
    metrics.decode.record(seconds: seconds)
    if error != nil { metrics.failures.increment() }
    shared.change { leave(item.job, &$0) }
    if let error { item.job.events.finish(throwing: ServingError(error)) } else { item.job.events.finish() }
  }

  private func fail(_ job: Engine.Job, _ error: any Error) {
    metrics.failures.increment()
    shared.change { leave(job, &$0) }
    job.events.finish(throwing: ServingError(error))
  }

  private func leave(_ job: Engine.Job, _ shared: inout Engine.Shared) {
    shared.running[job.client, default: 1] -= 1
    if shared.running[job.client] == 0 { shared.running[job.client] = nil }
    metrics.record(shared)
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
