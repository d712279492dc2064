import GristSources

/// How each tile of a picture is pooled.
struct TileGrids: Sendable {
  private let grids: [PoolingGrid]
  /// Every tile's, where they are alike.
  let common: PoolingGrid?

  /// Nil where the granularity is for another number of tiles, or a `side` × `side` grid of patches cannot be pooled
  /// so.
  init?(_ granularity: Granularity, tiles: Int, side: Int) {
    if case .perTile(let tokens) = granularity, tokens.count != tiles { return nil }
    var grids: [PoolingGrid] = []
    for tile in 0..<tiles {
      guard let tokens = granularity.tokens(ofTile: tile), let grid = PoolingGrid(granularity: tokens, side: side)
      else {
        return nil
      }
      grids.append(grid)
    }
    guard let first = grids.first else { return nil }
    self.grids = grids
    common = grids.allSatisfy { $0 == first } ? first : nil
  }

  var areAlike: Bool { common != nil }
  var count: Int { grids.count }
  /// Of all tiles together.
  var tokens: Int { firstToken(ofTile: count) }

  subscript(tile: Int) -> PoolingGrid { grids[tile] }

  /// Tokens of the tiles before.
  func firstToken(ofTile tile: Int) -> Int { grids[..<tile].reduce(0) { $0 + $1.tokens } }
}
