import CGristKernels
import GristCore

/// Keys or values of one decoder layer, kept head by head, [heads, capacity, dimension], so that a head's are read in
/// one stride.
public final class HeadStore: @unchecked Sendable {
  // Unchecked: belongs to one decoding session, which one caller drives.
  /// How the values are kept.
  public enum Precision: Sendable {
    case f32
    /// Rounded to nearest even; values beyond 65504 become infinite.
    case f16
    var byteCount: Int { self == .f16 ? 2 : 4 }
  }

  public let heads: AttentionHeads
  public let capacity: Int
  public let precision: Precision
  private let base: UnsafeMutableRawPointer

  public init(heads: AttentionHeads, capacity: Int, precision: Precision) {
    precondition(capacity >= 0)
    self.heads = heads
    self.capacity = capacity
    self.precision = precision
    let count = max(heads.keyValueCount * capacity * heads.dimension, 1)
    // Not touched until rows are stored: what a short answer does not fill is never resident.
    base = .allocate(byteCount: count * precision.byteCount, alignment: AlignedBuffer.alignment)
  }

  deinit { base.deallocate() }

  /// Bytes kept for each row.
  public var bytesPerRow: Int { heads.keyValueCount * heads.dimension * precision.byteCount }

  /// Keeps rows [tokens, heads · dimension] at positions `first` and on.
  public func store(_ rows: FloatMatrix, at first: Int, _ compute: Compute) {
    let dimension = heads.dimension
    precondition(rows.columns == heads.keyValueCount * dimension)
    precondition(first >= 0 && first + rows.rows <= capacity)
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
      owner: self, base: UnsafeRawPointer(base), isHalf: precision == .f16, rows: capacity, rowStride: heads.dimension,
      headStride: capacity * heads.dimension)
  }
}
