import GristKernels
import GristSources

/// AVG-LLaVA's visual granularity scaler: average pooling of every tile's grid of features.
struct Scaler: Sendable {
  /// Patches along one side of a tile.
  let side: Int

  /// Pools the tiles of [tiles · side², width], each to its grid's tokens: [sum of tokens, width].
  func pool(_ features: FloatMatrix, to grids: TileGrids, _ compute: Compute) -> FloatMatrix {
    if let grid = grids.common { return pool(features, tiles: grids.count, to: grid, compute) }
    let out = FloatMatrix(uninitializedRows: grids.tokens, columns: features.columns)
    let patches = side * side
    for tile in 0..<grids.count {
      let own = features.copy(rows: tile * patches..<(tile + 1) * patches)
      let pooled = pool(own, tiles: 1, to: grids[tile], compute)
      out.copyRows(0..<pooled.rows, of: pooled, toRow: grids.firstToken(ofTile: tile))
    }
    return out
  }

  /// Pools each tile of [tiles · side², width] to [tiles · grid.tokens, width]. Patches beyond the last whole window
  /// are left out, as PyTorch's pooling does.
  private func pool(_ features: FloatMatrix, tiles: Int, to grid: PoolingGrid, _ compute: Compute) -> FloatMatrix {
    guard grid.tokens != side * side else { return features }
    let out = FloatMatrix(rows: tiles * grid.tokens, columns: features.columns)
    pool(features, tiles: tiles, patchRows: side, to: grid, into: out, firstRow: 0, compute)
    compute.round(out)
    return out
  }

  /// Pools a band of each tile, `patchRows` rows of patches high: [tiles · patchRows · side, width]. A tile's means
  /// become the rows from `firstRow` on of its share of `out`, [tiles · rows of a tile, width], as they are summed: not
  /// rounded yet.
  func pool(
    _ band: FloatMatrix, tiles: Int, patchRows: Int, to grid: PoolingGrid, into out: FloatMatrix, firstRow: Int,
    _ compute: Compute
  ) {
    let gridRows = patchRows / grid.windowRows
    let outRows = out.rows / max(tiles, 1)
    compute.pool.run(tiles * gridRows) { task, _ in
      let (tile, gridRow) = (task / gridRows, task % gridRows)
      for gridColumn in 0..<grid.columns {
        let first = (tile * patchRows + gridRow * grid.windowRows) * side + gridColumn * grid.windowColumns
        out.setRow(
          tile * outRows + firstRow + gridRow * grid.columns + gridColumn, toMeanOf: band, rows: grid.windowRows,
          rowStride: side, columns: grid.windowColumns, from: first)
      }
    }
  }
}
