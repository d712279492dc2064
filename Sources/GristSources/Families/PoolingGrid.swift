/// How a square grid of patch features is average-pooled to fewer tokens.
package struct PoolingGrid: Sendable, Equatable {
  /// Pooling window, rows × columns.
  package let windowRows: Int
  package let windowColumns: Int
  /// The grid that remains.
  package let rows: Int
  package let columns: Int

  package var tokens: Int { rows * columns }

  /// Nil when a `side` × `side` grid cannot be pooled to `granularity` tokens. With P = side² patches: P itself is not
  /// pooled, P/2 pools 1×2, P/8 pools 2×4, any other pools k×k with k = ⌊√(P/granularity)⌋.
  package init?(granularity: Int, side: Int) {
    guard granularity > 0, side > 0 else { return nil }
    let patches = side * side
    if granularity * 2 == patches {
      (windowRows, windowColumns) = (1, 2)
    } else if granularity * 8 == patches {
      (windowRows, windowColumns) = (2, 4)
    } else {
      let window = Int((Double(patches) / Double(granularity)).squareRoot())
      (windowRows, windowColumns) = (max(window, 1), max(window, 1))
    }
    rows = side / windowRows
    columns = side / windowColumns
    guard rows * columns == granularity else { return nil }
  }
}
