import GristKernels

/// Keys and values of everything the decoder has seen, layer by layer.
final class KeyValueCache {
  /// Rows held.
  private(set) var count = 0
  private let keys: [HeadStore]
  private let values: [HeadStore]

  /// Room for `capacity` rows to begin with; it grows.
  init(layers: Int, heads: AttentionHeads, capacity: Int, precision: CachePrecision) {
    func stores() -> [HeadStore] {
      (0..<layers).map { _ in HeadStore(heads: heads, capacity: capacity, precision: precision) }
    }
    keys = stores()
    values = stores()
  }

  /// A cache of its own with the first `rows` rows of `other`, and room for `capacity`.
  ///
  /// - Precondition: There are as many, and room for them.
  init(copying other: KeyValueCache, rows: Int, capacity: Int) {
    precondition(rows <= other.count)
    keys = other.keys.map { $0.copy(rows: rows, capacity: capacity) }
    values = other.values.map { $0.copy(rows: rows, capacity: capacity) }
    count = rows
  }

  /// Bytes of the rows there is room for.
  var byteCount: Int { (keys + values).reduce(0) { $0 + $1.bytesPerRow * $1.capacity } }

  /// Bytes kept for each row.
  var bytesPerRow: Int { (keys + values).reduce(0) { $0 + $1.bytesPerRow } }

  /// Keeps new rows of one layer from `position` on; they count once ``advance(by:)`` says so.
  func store(
    layer: Int, keys newKeys: FloatMatrix, values newValues: FloatMatrix, at position: Int, _ compute: Compute
  ) -> (keys: HeadRows, values: HeadRows) {
    keys[layer].store(newKeys, at: position, compute)
    values[layer].store(newValues, at: position, compute)
    return (keys[layer].rows, values[layer].rows)
  }

  func advance(by rows: Int) { count += rows }

  /// Forgets all rows but the first `count`.
  func rewind(to count: Int) { self.count = min(count, self.count) }
}
