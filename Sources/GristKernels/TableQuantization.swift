internal import CGristKernels
import GristCore

/// Rows on their way to codes of a table.
struct TableQuantization {
  /// [at least count, columns], turned as they will be stored.
  let rows: FloatMatrix
  let count: Int
  let shape: TileShape
  let table: UnsafePointer<Int8>
  let prescale: Float
  let codes: UnsafeMutablePointer<UInt8>
  let scales: UnsafeMutablePointer<UInt16>
  /// Each row's squared errors are added here.
  let rowErrors: UnsafeMutablePointer<Double>?

  /// What the kernel is to do with the tile that begins at row `first`.
  private func job(firstRow first: Int) -> grist_table_rows {
    let tile = first / shape.tileRows
    return grist_table_rows(
      weights: rows.base + first * shape.columns, carried: nil, rows: min(TileShape.kernelTileRows, count - first),
      columns: shape.columns, first: 0, end: shape.columns, group_size: shape.groupSize, window: Rotation.block,
      table: table, coefficients: nil, importance: nil, prescale: prescale, tile_rows: shape.tileRows,
      codes: codes + tile * shape.codeBytesPerTile, scales: scales + tile * shape.scaleBytesPerTile / 2, lost: nil,
      row_errors: rowErrors.map { $0 + first })
  }

  /// Up to sixteen rows, with error feedback inside windows or without. Returns the sum of squared errors.
  func run(_ feedback: ErrorFeedback?) -> Double {
    precondition(count <= TileShape.kernelTileRows)
    var job = job(firstRow: 0)
    guard let feedback else { return kernels.quantize_table_rows(&job) }
    return feedback.withFactors { near, importance in
      job.window = feedback.window
      job.coefficients = near
      job.importance = importance
      return kernels.quantize_table_rows(&job)
    }
  }

  /// Any number of rows, window after window, each after what all columns before it lost was added to it. Returns the
  /// sum of squared errors.
  func run(_ feedback: ErrorFeedback, _ far: FloatMatrix) -> Double {
    let columns = shape.columns
    let lost = FloatMatrix(uninitializedRows: count, columns: columns)
    let carried = FloatMatrix(uninitializedRows: count, columns: TileShape.widestGroup)
    var error = 0.0
    feedback.withFactors { near, importance in
      for start in stride(from: 0, to: columns, by: feedback.window) {
        let end = min(start + feedback.window, columns)
        if start > 0 {
          multiplyMatrices(
            rows: count, columns: end - start, inner: start, a: lost.base, aStride: columns, b: far.base + start,
            bStride: columns, out: carried.base, outStride: carried.columns)
        }
        for first in stride(from: 0, to: count, by: TileShape.kernelTileRows) {
          var job = job(firstRow: first)
          job.window = feedback.window
          (job.first, job.end) = (start, end)
          job.coefficients = near
          job.importance = importance
          job.lost = lost.base + first * columns
          if start > 0 { job.carried = UnsafePointer(carried.base + first * carried.columns) }
          error += kernels.quantize_table_rows(&job)
        }
      }
    }
    return error
  }
}

extension ErrorFeedback {
  fileprivate func withFactors<Result>(
    _ body: (_ near: UnsafePointer<Float>?, _ importance: UnsafePointer<Float>?) -> Result
  ) -> Result {
    near.withUnsafeBufferPointer { near in
      importance.withUnsafeBufferPointer { body(near.baseAddress, $0.baseAddress) }
    }
  }
}
