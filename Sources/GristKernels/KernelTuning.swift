internal import CGristKernels
import GristCore

/// What suits a CPU and changes no result: how weights are asked for ahead of their turn, and how many of them the cache
/// is to hold.
///
/// There is one for the whole process. It begins with what was found for the CPU's family; ``KernelTuner`` finds a better
/// one, and ``TuningFile`` keeps it.
package struct KernelTuning: Sendable, Equatable {
  /// How codes that are used once are asked for: not at all, past the second-level cache, into it, into all caches, or
  /// only where each page begins.
  package enum Hint: String, Sendable, CaseIterable { case none, past, second, all, pages }

  package var int8Hint: Hint
  package var int4Hint: Hint
  /// Bytes ahead of the codes that one row is about to meet.
  package var distance: Int
  /// Bytes of codes that stay in the second-level cache while many rows meet them; 0 leaves it to the kernels.
  package var int8BlockBytes: Int
  package var int4BlockBytes: Int
  /// Tiles that one thread takes at a time of a product of one row.
  package var loneTiles: Int

  package static let distances = 0...1 << 20
  package static let blockBytes = 0...64 << 20
  package static let loneTileCounts = 1...4096

  package init(
    int8Hint: Hint, int4Hint: Hint, distance: Int, int8BlockBytes: Int, int4BlockBytes: Int, loneTiles: Int
  ) {
    self.int8Hint = int8Hint
    self.int4Hint = int4Hint
    self.distance = distance
    self.int8BlockBytes = int8BlockBytes
    self.int4BlockBytes = int4BlockBytes
    self.loneTiles = loneTiles
  }

  private init(_ tuning: grist_tuning) {
    func hint(_ hint: grist_hint) -> Hint { Hint.allCases.first { $0.kernels == hint } ?? .none }
    self.init(
      int8Hint: hint(tuning.int8_hint), int4Hint: hint(tuning.int4_hint), distance: tuning.distance,
      int8BlockBytes: tuning.int8_block_bytes, int4BlockBytes: tuning.int4_block_bytes, loneTiles: tuning.lone_tiles)
  }

  /// What was found for this CPU's family, and whether that was measured; else what is least wrong.
  package static var builtIn: (tuning: KernelTuning, isMeasured: Bool) {
    var isMeasured = false
    let tuning = KernelTuning(grist_builtin_tuning(&isMeasured))
    return (tuning, isMeasured)
  }

  /// What is in use.
  package static var inUse: KernelTuning { KernelTuning(grist_tuning_in_use()) }

  /// Uses it from now on, in the whole process.
  ///
  /// - Precondition: All values lie in their ranges.
  package func use() {
    precondition(
      Self.distances.contains(distance) && Self.blockBytes.contains(int8BlockBytes)
        && Self.blockBytes.contains(int4BlockBytes) && Self.loneTileCounts.contains(loneTiles))
    grist_use_tuning(
      grist_tuning(
        int8_hint: int8Hint.kernels, int4_hint: int4Hint.kernels, distance: distance, int8_block_bytes: int8BlockBytes,
        int4_block_bytes: int4BlockBytes, lone_tiles: loneTiles))
  }

  /// The CPU as it names itself, and the kernels that run on it: what a tuning was found for.
  package static var machine: String {
    let cpu = grist_this_cpu()
    let vendor = withUnsafeBytes(of: cpu.vendor) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    return "\(vendor.isEmpty ? "unnamed" : vendor) family \(cpu.family) model \(cpu.model), \(Compute.instructionSet)"
  }

  /// Bytes of such codes that stay in the second-level cache together.
  static func blockBytes(of codes: CodeWidth) -> Int {
    let tuning = grist_tuning_in_use()
    let (tuned, own) =
      switch codes {
      case .int4: (tuning.int4_block_bytes, kernels.int4_block_bytes)
      case .int8: (tuning.int8_block_bytes, kernels.int8_block_bytes)
      }
    return tuned == 0 ? own : tuned
  }
}

extension KernelTuning.Hint {
  fileprivate var kernels: grist_hint {
    switch self {
    case .none: GRIST_HINT_NONE
    case .past: GRIST_HINT_PAST
    case .second: GRIST_HINT_SECOND_LEVEL
    case .all: GRIST_HINT_ALL_LEVELS
    case .pages: GRIST_HINT_PAGE_STARTS
    }
  }
}
