import GristCheckpoints
import GristFamilies
import GristKernels

/// AVG-LLaVA's visual granularity scaler: average pooling of every tile's grid of features.
struct Scaler: Sendable {
  /// Patches along one side of a tile.
  let side: Int

  /// Pools each tile of [tiles · side², width] to [tiles · grid.tokens, width]. Patches beyond the last whole window
  /// are left out, as PyTorch's pooling does.
  func pool(_ features: FloatMatrix, tiles: Int, to grid: PoolingGrid, _ compute: Compute) -> FloatMatrix {
    guard grid.tokens != side * side else { return features }
    let out = FloatMatrix(rows: tiles * grid.tokens, columns: features.columns)
    let weight = 1 / Float(grid.windowRows * grid.windowColumns)
    compute.pool.run(tiles * grid.rows) { task, _ in
      let (tile, gridRow) = (task / grid.rows, task % grid.rows)
      for gridColumn in 0..<grid.columns {
        out.withMutableRow(tile * grid.tokens + gridRow * grid.columns + gridColumn) { sum in
          for y in 0..<grid.windowRows {
            for x in 0..<grid.windowColumns {
              let row = gridRow * grid.windowRows + y
              let column = gridColumn * grid.windowColumns + x
              features.withRow(tile * side * side + row * side + column) { source in
                for index in sum.indices { sum[index] += source[index] }
              }
            }
          }
          for index in sum.indices { sum[index] *= weight }
        }
      }
    }
    compute.round(out)
    return out
  }
}
