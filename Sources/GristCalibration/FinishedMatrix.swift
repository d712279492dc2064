import GristCore
import GristFormat
import GristKernels

/// A matrix as a conversion left it: payloads of one chunk each, and what was lost.
public struct FinishedMatrix: Sendable {
  public let scheme: TensorScheme
  public let shape: [Int]
  public let runs: [Bytes]
  /// Tiles or rows that a run holds, the last one what remains.
  public let unitsPerRun: Int
  public let error: ErrorSums

  public init(scheme: TensorScheme, shape: [Int], runs: [Bytes], unitsPerRun: Int, error: ErrorSums) {
    self.scheme = scheme
    self.shape = shape
    self.runs = runs
    self.unitsPerRun = unitsPerRun
    self.error = error
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
