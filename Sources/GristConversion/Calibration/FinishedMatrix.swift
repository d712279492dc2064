import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources

/// A matrix as a conversion left it: payloads of one chunk each, and what was lost.
package struct FinishedMatrix: Sendable {
  package let scheme: TensorScheme
  package let shape: [Int]
  package let runs: [Bytes]
  /// Tiles or rows that a run holds, the last one what remains.
  package let unitsPerRun: Int
  package let error: ErrorSums

  package init(scheme: TensorScheme, shape: [Int], runs: [Bytes], unitsPerRun: Int, error: ErrorSums) {
    self.scheme = scheme
    self.shape = shape
    self.runs = runs
    self.unitsPerRun = unitsPerRun
    self.error = error
  }

  var byteCount: Int { runs.reduce(0) { $0 + $1.count } }

  /// The table to be looked up in by row, once it is no tile of the kernels'; nil for anything but a matrix.
  func table(of tensor: SourceTensor) -> (any EmbeddingTable)? {
    guard let (rows, columns) = matrixExtents(shape) else { return nil }
    let runs = runs
    return RowTable(
      scheme: scheme, rows: rows, columns: columns, rowsPerRun: unitsPerRun, path: tensor.file, name: tensor.name
    ) { runs[$0] }
  }

  /// The matrix to be multiplied with; nil for anything but codes in the kernels' tiles.
  var weights: (any LinearWeights)? {
    guard case .grouped(let grouped) = scheme, grouped.layout == .tile16, let (rows, columns) = matrixExtents(shape),
      let tiles = grouped.shape(rows: rows, columns: columns)
    else { return nil }
    return TiledWeights(
      shape: tiles, coding: grouped.coding, multiplier: grouped.multiplier, runs: runs, tilesPerRun: unitsPerRun)
  }
}
