import GristCore

/// Finds what suits this machine: tries settings on the real kernels, with weights from real memory, in turn.
package struct KernelTuner {
  /// What was tried of one setting.
  package struct Step: Sendable {
    package struct Candidate: Sendable {
      package let name: String
      /// Bytes a second of products of one row, or operations a second of those of many.
      package let rate: Double
      package let isTaken: Bool
    }

    package let setting: String
    package let unit: String
    package let candidates: [Candidate]
  }

  private let compute: Compute
  private let lone: [TiledWeights]
  private let many: [TiledWeights]
  private let clock = ContinuousClock()

  private static let columns = 4096
  private static let promptRows = 512
  /// A candidate has to be so much faster than what is in use to take its place.
  private static let gain = 1.01

  /// - Parameter bytes: of int8 weights that products of one row read; more than any cache holds.
  package init(pool: ThreadPool, bytes: Int = 384 << 20) {
    compute = Compute(pool: pool)
    func weights(_ codes: CodeWidth, bytes: Int) -> TiledWeights? {
      let rows = max(
        TileShape.kernelTileRows, bytes / Self.columns / TileShape.kernelTileRows * TileShape.kernelTileRows)
      guard let shape = TileShape(rows: rows, columns: Self.columns, codes: codes, groupSize: 64) else { return nil }
      let codeBytes = shape.tiles * shape.codeBytesPerTile
      let run = [UInt8](unsafeUninitializedCapacity: shape.tiles * shape.bytesPerTile) { buffer, count in
        var state: UInt32 = 1
        for place in 0..<codeBytes {
          state = state &* 1_664_525 &+ 1_013_904_223
          buffer[place] = UInt8(truncatingIfNeeded: state >> 24 | 1)
        }
        // Each scale 2^-7 in f16.
        for place in codeBytes..<buffer.count { buffer[place] = place % 2 == 0 ? 0 : 0x20 }
        count = buffer.count
      }
      return TiledWeights(
        shape: shape, coding: GroupCoding(table: codes.takesTable ? .nonlinear : nil), multiplier: 1,
        runs: [Bytes(run)],
        tilesPerRun: shape.tiles)
    }
    lone = CodeWidth.allCases.compactMap { weights($0, bytes: bytes) }
    many = CodeWidth.allCases.compactMap { weights($0, bytes: bytes / 16) }
  }

  /// Tries everything, beginning with `tuning`; what is found is in use when it returns.
  ///
  /// - Parameters:
  ///   - rounds: how often each candidate has its turn; medians count.
  ///   - progress: hears the fraction done and what is tried.
  ///
  /// - Throws: 130 when the user interrupts.
  package func run(
    from tuning: KernelTuning, rounds: Int = 15, progress: (Double, String) -> Void = { _, _ in }
  ) throws -> (tuning: KernelTuning, steps: [Step]) {
    var (best, steps) = (tuning, [Step]())
    defer { best.use() }
    for (index, setting) in Self.settings.enumerated() {
      progress(Double(index) / Double(Self.settings.count), setting.name)
      let tried = setting.choices.map { choice in
        var tuning = best
        choice.apply(&tuning)
        return (name: choice.name, tuning: tuning)
      }
      let weights = (setting.isOfOneRow ? lone : many).filter {
        setting.codes == nil || $0.shape.codes == setting.codes
      }
      let input = FloatMatrix(rows: setting.isOfOneRow ? 1 : Self.promptRows, columns: Self.columns)
      for row in 0..<input.rows { input.withMutableRow(row) { $0[row % Self.columns] = 1 } }
      var seconds = [[Double]](repeating: [], count: tried.count)
      for _ in 0..<rounds {
        for (index, candidate) in tried.enumerated() {
          try Interruption.check()
          candidate.tuning.use()
          seconds[index].append(clock.measure { for weights in weights { _ = compute.linear(input, weights) } }.seconds)
        }
      }
      let medians = seconds.map { $0.sorted()[$0.count / 2] }
      let current = tried.firstIndex { $0.tuning == best }
      let fastest = medians.indices.min { medians[$0] < medians[$1] } ?? 0
      let taken = current.map { medians[fastest] * Self.gain < medians[$0] ? fastest : $0 } ?? fastest
      best = tried[taken].tuning
      let work = weights.reduce(0.0) { sum, weights in
        sum
          + Double(
            setting.isOfOneRow
              ? weights.shape.tiles * weights.shape.bytesPerTile : 2 * input.rows * weights.rows * weights.columns)
      }
      steps.append(
        Step(
          setting: setting.name, unit: setting.isOfOneRow ? "GB/s" : "GOP/s",
          candidates: tried.indices.map {
            Step.Candidate(name: tried[$0].name, rate: work / medians[$0], isTaken: $0 == taken)
          }))
    }
    return (best, steps)
  }

  private struct Setting {
    let name: String
    /// Whether products of one row are measured, which wait for memory; else of many.
    let isOfOneRow: Bool
    /// The codes that it is about; nil of all.
    var codes: CodeWidth?
    let choices: [(name: String, apply: (inout KernelTuning) -> Void)]
  }

  private static var settings: [Setting] {
    let kibibyte = 1 << 10
    func sized(_ sizes: [Int], _ member: WritableKeyPath<KernelTuning, Int>) -> [(String, (inout KernelTuning) -> Void)]
    {
      sizes.map { size in
        (size == 0 ? "the kernels' own" : "\(size) KiB", { $0[keyPath: member] = size * kibibyte })
      }
    }
    let blocks = [0, 96, 128, 192, 256, 384, 512, 768]
    return [
      Setting(
        name: "int8 codes of one row are asked for", isOfOneRow: true, codes: .int8,
        choices: KernelTuning.Hint.allCases.map { hint in (hint.title, { $0.int8Hint = hint }) }),
      Setting(
        name: "int4 codes of one row are asked for", isOfOneRow: true, codes: .int4,
        choices: KernelTuning.Hint.allCases.map { hint in (hint.title, { $0.int4Hint = hint }) }),
      Setting(name: "ahead by", isOfOneRow: true, choices: sized([1, 2, 4, 8, 12, 16], \.distance)),
      Setting(
        name: "tiles of one row a task", isOfOneRow: true,
        choices: [8, 16, 32, 64, 128].map { tiles in ("\(tiles)", { $0.loneTiles = tiles }) }),
      Setting(name: "block of int8 and wide codes", isOfOneRow: false, choices: sized(blocks, \.int8BlockBytes)),
    ]
      // Where many rows meet wide codes, blocks of int4 ones are never multiplied.
      + (WideProduct.isOffered
        ? [] : [Setting(name: "block of int4 codes", isOfOneRow: false, choices: sized(blocks, \.int4BlockBytes))])
  }
}

extension KernelTuning.Hint {
  /// For people.
  package var title: String {
    switch self {
    case .none: "not ahead"
    case .past: "past the second-level cache"
    case .second: "into the second-level cache"
    case .all: "into all caches"
    case .pages: "where a page begins"
    }
  }
}
