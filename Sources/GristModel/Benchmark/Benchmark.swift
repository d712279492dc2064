import GristCore
import GristFormat
import GristImaging
import GristKernels
import GristSources

/// Measures a model with synthetic inputs.
package struct Benchmark {
  private let plan: BenchmarkPlan
  private let source: Source
  private let model: VisionLanguageModel
  private let compute: Compute
  private let openSeconds: Double
  private let clock = ContinuousClock()

  /// How the model is run within a budget; nil without one.
  package let memoryPlan: MemoryPlan?

  /// Opens the model `repetitions` times and keeps the last one. `makePlan` is given the longest prompt the model
  /// takes.
  ///
  /// - Throws: What opening the model throws, what `makePlan` throws, and 64 when the budget is too small.
  package init(
    path: String, options: SourceOptions = SourceOptions(), budget: MemoryBudget? = nil, compute: Compute,
    makePlan: (_ maximumLength: Int) throws -> BenchmarkPlan
  ) throws {
    self.compute = compute
    let clock = ContinuousClock()
    func open(_ plan: MemoryPlan?) throws -> (source: Source, model: VisionLanguageModel, seconds: Double) {
      let start = clock.now
      let source = try Source.open(path: path, options: options)
      var model = try source.model(compute: compute)
      if let plan { model = try model.running(plan) }
      try model.loadFirstLayer()
      return (source, model, (clock.now - start).seconds)
    }
    var opened = try open(nil)
    let plan = try makePlan(opened.model.configuration.maximumLength)
    let memoryPlan = try budget.map { try Self.memoryPlan(opened.model, plan, $0) }
    self.plan = plan
    self.memoryPlan = memoryPlan
    if let memoryPlan { opened = try open(memoryPlan) }
    var seconds = [opened.seconds]
    for _ in 1..<plan.repetitions {
      opened = try open(memoryPlan)
      seconds.append(opened.seconds)
    }
    (source, model, openSeconds) = (opened.source, opened.model, median(seconds))
  }

  private static func memoryPlan(
    _ model: VisionLanguageModel, _ plan: BenchmarkPlan, _ budget: MemoryBudget
  ) throws -> MemoryPlan {
    let longest = plan.sessions.map(\.rows).max() ?? 1
    let tiles = plan.seesImages ? try model.syntheticImage(seed: 1).map { try model.tiles(of: $0).tiles.count } ?? 0 : 0
    return try locating(file: model.path) {
      try MemoryPlan(
        model.memoryNeeds(),
        MemoryRequest(
          promptRows: longest, rows: min(longest + plan.decodeTokens, model.configuration.maximumLength), tiles: tiles,
          seesMore: tiles > 0),
        budget: budget.byteCount())
    }
  }

  /// Runs the plan, calling `onProgress` with the fraction done and what comes next.
  ///
  /// - Throws: 130 when interrupted, and what running the model throws.
  package func run(onProgress: (Double, String) -> Void = { _, _ in }) throws -> BenchmarkReport {
    let sessions = plan.sessions
    // Long prompts take the time; a picture counts as a prompt of its patches.
    let pictureRows = plan.seesImages ? 5 * model.configuration.patchesPerTile / 4 : 0
    let runs = plan.repetitions + (plan.warmsUp ? 1 : 0)
    let total = Double(sessions.reduce(0) { $0 + $1.rows } * runs + pictureRows * plan.repetitions)
    var done = 0.0
    func begin(_ rows: Int, _ label: String) throws {
      try Interruption.check()
      onProgress(done / max(total, 1), label)
      done += Double(rows)
    }

    onProgress(0, "first row")
    var cacheBytes = 0
    let firstRow = try time { cacheBytes = try model.start(prompt(rows: 1), newTokens: 0).cacheBytesPerRow }
    // The tokens to come once before they are timed: their embeddings are read and checked when they are first needed.
    if let first = sessions.first(where: { $0.depth != nil }) {
      _ = try run(.init(rows: 1, timesPrefill: false, depth: first.depth))
    }
    if plan.warmsUp, memoryPlan == nil {
      // What the first prompt's keys and values took is there for the second.
      RecycledMemory.keep(atMost: RecycledMemory.keptBytes + (sessions.map(\.rows).max() ?? 0) * cacheBytes * 5 / 4)
    }
    let peakBefore = peakResidentBytes()
    let memory = memoryPlan == nil ? MemoryReader(pool: compute.pool, byteCount: bytesToMeasure) : nil
    var measured: [(session: BenchmarkPlan.Session, times: [Times])] = []
    for session in sessions {
      if plan.warmsUp {
        try begin(session.rows, "\(session.rows) rows of prompt, not timed")
        _ = try run(.init(rows: session.rows, timesPrefill: false, depth: nil))
      }
      let times = try (0..<plan.repetitions).map { _ in
        try begin(session.rows, "\(session.rows) rows of prompt")
        return try run(session, beside: memory)
      }
      measured.append((session, times))
    }
    let (tower, router) = try picture { try begin(pictureRows, $0) }
    // What is read beside the tokens is no part of the model.
    let peak = max(peakBefore, peakResidentBytes() - (memory?.byteCount ?? 0))
    let streaming = try streaming { onProgress(1, "reading without computing") }
    let provenance = source.file?.manifest.provenance
    onProgress(1, "the machine's limits")
    return BenchmarkReport(
      model: source.path, recipe: provenance?.recipe, packing: provenance?.packing.rawValue,
      threads: compute.pool.threadCount, instructionSet: Compute.instructionSet, activations: compute.activations,
      repetitions: plan.repetitions, openSeconds: openSeconds, firstRowSeconds: firstRow, tower: tower, router: router,
      prefill: measured.filter(\.session.timesPrefill).map { session, times in
        .init(rows: session.rows, seconds: median(times.map(\.prefill)))
      },
      decode: measured.compactMap { session, times in
        session.depth.map {
          .init(
            depth: $0, tokens: plan.decodeTokens, seconds: median(times.map(\.decode)),
            memoryReadBytesPerSecond: memory == nil ? nil : median(times.compactMap(\.memoryRead)))
        }
      },
      cost: DecodingCost(source, model.configuration), cacheBytesPerToken: cacheBytes, peakResidentBytes: peak,
      limits: .measure(pool: compute.pool, bufferBytes: bytesToMeasure), streaming: streaming)
  }

  /// Memory whose reading is timed: of a budget what keys, values and intermediate results leave once they are gone.
  private var bytesToMeasure: Int {
    guard let memoryPlan else { return 512 << 20 }
    let free = memoryPlan.budget - memoryPlan.peakBytes + memoryPlan.cacheBytes + memoryPlan.scratchBytes
    return min(max(free - MemoryPlan.keptScratchBytes, 4 << 20), 512 << 20)
  }

  /// Pairs of passes that are compared, one that computes and one that reads alone.
  private static let pairs = 9

  /// How fast weights stream while a token is decoded, beside reading them alone: disks change within seconds.
  private func streaming(_ begin: () -> Void) throws -> BenchmarkReport.Streaming? {
    guard let memoryPlan, memoryPlan.streams, let residency = model.residency else { return nil }
    begin()
    let running = try model.start(prompt(rows: 1), newTokens: Self.pairs)
    let before = residency.statistics.bytesRead
    var rates: [(computing: Double, reading: Double)] = []
    for token in model.syntheticTokens(Self.pairs, seed: 3) {
      try Interruption.check()
      let computing = try time { try running.advance(token) }
      let reading = try time { try residency.readThrough() }
      let bytes = Double(residency.streamedBytes)
      rates.append((bytes / computing, bytes / reading))
    }
    return .init(
      plan: memoryPlan, bytesAPass: (residency.statistics.bytesRead - before) / (2 * Self.pairs),
      bytesPerSecond: median(rates.map(\.computing)), readerBytesPerSecond: median(rates.map(\.reading)),
      ofReader: median(rates.map { $0.computing / $0.reading }))
  }

  private func prompt(rows: Int) throws -> VisionLanguageModel.PreparedPrompt {
    try model.syntheticPrompt(rows: rows, seed: UInt64(rows))
  }

  /// What a session took, in seconds, and the bytes a second that memory gave before and after its tokens.
  private struct Times {
    let prefill: Double
    let decode: Double
    let memoryRead: Double?
  }

  private func run(_ session: BenchmarkPlan.Session, beside memory: MemoryReader? = nil) throws -> Times {
    let prompt = try prompt(rows: session.rows)
    let tokens = session.depth == nil ? [] : model.syntheticTokens(plan.decodeTokens, seed: 1)
    let start = clock.now
    let running = try model.start(prompt, newTokens: tokens.count)
    let prefill = (clock.now - start).seconds
    guard !tokens.isEmpty else { return Times(prefill: prefill, decode: 0, memoryRead: nil) }
    let before = memory?.bytesPerSecond(trials: Self.memoryTrials)
    let decode = try time {
      for token in tokens {
        try Interruption.check()
        try running.advance(token)
      }
    }
    let after = memory?.bytesPerSecond(trials: Self.memoryTrials)
    return Times(
      prefill: prefill, decode: decode, memoryRead: before.flatMap { before in after.map { (before + $0) / 2 } })
  }

  private static let memoryTrials = 3

  /// Tower and router on a picture, after a first run that reads their weights.
  private func picture(
    _ begin: (String) throws -> Void
  ) throws -> (tower: BenchmarkReport.Picture?, router: BenchmarkReport.Picture?) {
    guard plan.seesImages, let image = try model.syntheticImage(seed: 1) else { return (nil, nil) }
    let tiles = try model.tiles(of: image)
    let text = model.syntheticTokens(64, seed: 2)
    var features = try model.encode(tiles)
    let hasRouter = try model.route(features, text: text) != nil
    var towerSeconds: [Double] = []
    var routerSeconds: [Double] = []
    for _ in 0..<plan.repetitions {
      try begin("a picture")
      towerSeconds.append(try time { features = try model.encode(tiles) })
      routerSeconds.append(try time { _ = try model.route(features, text: text) })
    }
    let count = features.tileCount
    return (
      .init(tiles: count, seconds: median(towerSeconds)),
      hasRouter ? .init(tiles: count, seconds: median(routerSeconds)) : nil
    )
  }

  private func time(_ body: () throws -> Void) rethrows -> Double {
    let start = clock.now
    try body()
    return (clock.now - start).seconds
  }
}

/// The middle value, or the mean of the two middle ones; 0 of nothing.
package func median(_ values: [Double]) -> Double {
  let sorted = values.sorted()
  guard !sorted.isEmpty else { return 0 }
  let middle = sorted.count / 2
  return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
