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
