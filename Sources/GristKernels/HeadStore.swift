internal import CGristKernels
import GristCore

/// Keys or values of one decoder layer, kept head by head, [heads, capacity, dimension], so that a head's are read in
/// one stride.
public final class HeadStore {
  /// How the values are kept.
  public enum Precision: Sendable {
    case f32
    /// Rounded to nearest even; values beyond 65504 become infinite.
    case f16
    var byteCount: Int { self == .f16 ? 2 : 4 }
  }

  public let heads: AttentionHeads
  public let precision: Precision
  /// Rows there is room for; grows as rows are stored.
  public private(set) var capacity: Int
  private var memory: Memory

  /// Room for `capacity` ≥ 0 rows to begin with.
  ///
  /// - Precondition: `capacity` is 0 or more.
  public init(heads: AttentionHeads, capacity: Int, precision: Precision) {
    precondition(capacity >= 0)
    self.heads = heads
    self.precision = precision
    self.capacity = capacity
    memory = Memory(byteCount: heads.keyValueCount * capacity * heads.dimension * precision.byteCount)
  }

  /// Not touched until rows are stored: what a short answer does not fill is never resident.
  private final class Memory: @unchecked Sendable {
    // Unchecked: written by the store that owns it, read by attention in between.
    let base: UnsafeMutableRawPointer

    init(byteCount: Int) {
      base = RecycledMemory.fresh(byteCount: byteCount)
    }

    deinit { base.deallocate() }
  }

  /// Makes room for `rows` rows, keeping the first `count`. Grows by half at least, so that rows that come one by one
  /// are copied a few times only.
  private func reserve(_ rows: Int, keeping count: Int) {
    guard rows > capacity else { return }
    let headBytes = heads.dimension * precision.byteCount
    let larger = max(rows, capacity + capacity / 2)
    let fresh = Memory(byteCount: heads.keyValueCount * larger * headBytes)
    for head in 0..<heads.keyValueCount {
      (fresh.base + head * larger * headBytes).copyMemory(
        from: memory.base + head * capacity * headBytes, byteCount: count * headBytes)
    }
    (memory, capacity) = (fresh, larger)
  }

  /// Bytes kept for each row.
  public var bytesPerRow: Int { heads.keyValueCount * heads.dimension * precision.byteCount }

  /// Keeps rows [tokens, heads · dimension] at positions `first` and on, where everything before `first` is stored.
  ///
  /// - Precondition: Rows are as wide as all heads together, and follow what is there without a gap.
  public func store(_ rows: FloatMatrix, at first: Int, _ compute: Compute) {
    let dimension = heads.dimension
    precondition(rows.columns == heads.keyValueCount * dimension)
    precondition(first >= 0 && first <= capacity)
    reserve(first + rows.rows, keeping: first)
    // Every row has its own place.
    nonisolated(unsafe) let base = memory.base
    let (capacity, heads, precision) = (capacity, heads, precision)
    compute.overRows(rows.rows, cost: rows.columns) { range in
      for row in range {
        for head in 0..<heads.keyValueCount {
          let source = rows.base + row * rows.columns + head * dimension
          let target = base + (head * capacity + first + row) * dimension * precision.byteCount
          switch precision {
          case .f32: target.copyMemory(from: source, byteCount: dimension * 4)
          case .f16: kernels.half_from_float(source, target.assumingMemoryBound(to: UInt16.self), dimension)
          }
        }
      }
    }
  }

  /// The rows stored so far and those to come.
  public var rows: HeadRows {
    HeadRows(
      owner: memory, base: UnsafeRawPointer(memory.base), isHalf: precision == .f16, rows: capacity,
      rowStride: heads.dimension, headStride: capacity * heads.dimension, heads: heads.keyValueCount)
  }
}
