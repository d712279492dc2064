internal import CGristKernels
import GristCore

/// Keys or values of one decoder layer, kept head by head, [heads, capacity, dimension], so that a head's are read in
/// one stride.
package final class HeadStore {
  package let heads: AttentionHeads
  package let precision: CachePrecision
  /// Rows there is room for; grows as rows are stored.
  package private(set) var capacity: Int
  private var memory: Memory
  /// Values from a row to the next.
  private let rowStride: Int
  private let rotation: Rotation

  /// Room for `capacity` ≥ 0 rows to begin with.
  ///
  /// - Precondition: `capacity` is 0 or more.
  package init(heads: AttentionHeads, capacity: Int, precision: CachePrecision) {
    precondition(capacity >= 0)
    self.heads = heads
    self.precision = precision
    self.capacity = capacity
    // The kernel that makes codes fills blocks.
    let block = TileShape.blockColumns
    rowStride = precision == .int8 ? (heads.dimension + block - 1) / block * block : heads.dimension
    rotation = precision == .int8 && Rotation.hadamard64.fits(columns: heads.dimension) ? .hadamard64 : .none
    memory = Memory(rows: heads.keyValueCount * capacity, bytes: rowStride * precision.byteCount, precision)
  }

  /// Not touched until rows are stored: what a short answer does not fill is never resident.
  private final class Memory: @unchecked Sendable {
    // Unchecked: written by the store that owns it, read by attention in between.
    let base: UnsafeMutableRawPointer
    /// One a row; of codes only.
    let scales: UnsafeMutablePointer<Float>?
    private let byteCount: Int
    private let scaleByteCount: Int

    /// For `rows` rows of `bytes` bytes.
    init(rows: Int, bytes: Int, _ precision: CachePrecision) {
      byteCount = rows * bytes
      scaleByteCount = rows * MemoryLayout<Float>.size
      base = RecycledMemory.take(byteCount: byteCount)
      scales =
        precision == .int8
        ? RecycledMemory.take(byteCount: scaleByteCount).bindMemory(to: Float.self, capacity: max(rows, 1)) : nil
    }

    deinit {
      RecycledMemory.give(base, byteCount: byteCount)
      if let scales { RecycledMemory.give(scales, byteCount: scaleByteCount) }
    }
  }

  /// Makes room for `rows` rows, keeping the first `count`. Grows by half at least, so that rows that come one by one
  /// are copied a few times only.
  private func reserve(_ rows: Int, keeping count: Int) {
    guard rows > capacity else { return }
    let larger = max(rows, capacity + capacity / 2)
    (memory, capacity) = (copy(count, capacity: larger), larger)
  }

  /// The first `count` rows in memory of their own, which has room for `larger`.
  private func copy(_ count: Int, capacity larger: Int) -> Memory {
    let rowBytes = rowStride * precision.byteCount
    let fresh = Memory(rows: heads.keyValueCount * larger, bytes: rowBytes, precision)
    for head in 0..<heads.keyValueCount {
      (fresh.base + head * larger * rowBytes).copyMemory(
        from: memory.base + head * capacity * rowBytes, byteCount: count * rowBytes)
      if let old = memory.scales {
        fresh.scales?.advanced(by: head * larger).update(from: old + head * capacity, count: count)
      }
    }
    return fresh
  }

  /// A store of its own with the first `count` rows of this one, and room for `capacity`.
  ///
  /// - Precondition: There are as many rows, and room for them.
  package func copy(rows count: Int, capacity: Int) -> HeadStore {
    precondition(count >= 0 && count <= self.capacity && capacity >= count)
    let store = HeadStore(heads: heads, capacity: 0, precision: precision)
    (store.memory, store.capacity) = (copy(count, capacity: capacity), capacity)
    return store
  }

  /// Bytes kept for each row.
  package var bytesPerRow: Int {
    heads.keyValueCount * (rowStride * precision.byteCount + (precision == .int8 ? MemoryLayout<Float>.size : 0))
  }

  /// Keeps rows [tokens, heads · dimension] at positions `first` and on, where everything before `first` is stored.
  ///
  /// - Precondition: Rows are as wide as all heads together, and follow what is there without a gap.
  package func store(_ rows: FloatMatrix, at first: Int, _ compute: Compute) {
    let dimension = heads.dimension
    precondition(rows.columns == heads.keyValueCount * dimension)
    precondition(first >= 0 && first <= capacity)
    reserve(first + rows.rows, keeping: first)
    // Every row has its own place.
    nonisolated(unsafe) let (base, scales) = (memory.base, memory.scales)
    let (capacity, heads, precision) = (capacity, heads, precision)
    let (rowStride, rotation) = (rowStride, rotation)
    compute.overRows(rows.rows, cost: rows.columns) { range in
      for row in range {
        for head in 0..<heads.keyValueCount {
          let source = rows.base + row * rows.columns + head * dimension
          let place = head * capacity + first + row
          let target = base + place * rowStride * precision.byteCount
          switch precision {
          case .f32: target.copyMemory(from: source, byteCount: dimension * 4)
          case .f16: kernels.half_from_float(source, target.assumingMemoryBound(to: UInt16.self), dimension)
          case .int8:
            guard let scales else { continue }
            Self.quantize(
              source, dimension, rotation, codes: target.assumingMemoryBound(to: Int8.self), scale: scales + place)
          }
        }
      }
    }
  }

  /// One head's values of one row to codes and their scale.
  private static func quantize(
    _ values: UnsafePointer<Float>, _ dimension: Int, _ rotation: Rotation, codes: UnsafeMutablePointer<Int8>,
    scale: UnsafeMutablePointer<Float>
  ) {
    var sum: Int32 = 0
    guard rotation != .none else {
      return kernels.quantize_activations(values, dimension, dimension, codes, scale, &sum)
    }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: dimension) { turned in
      guard let base = turned.baseAddress else { return }
      kernels.rotate_blocks(values, base, dimension)
      kernels.quantize_activations(base, dimension, dimension, codes, scale, &sum)
    }
  }

  /// The rows stored so far and those to come.
  package var rows: HeadRows {
    HeadRows(
      owner: memory, base: UnsafeRawPointer(memory.base), scales: memory.scales.map { UnsafePointer($0) },
      precision: precision, rotation: rotation, rows: capacity, rowStride: rowStride, heads: heads)
  }
}
