internal import CGristBLAS
import GristCore

/// Second moments of a matrix's inputs inside blocks of 64 columns: for every block the 64 × 64 sums of products over
/// all tokens seen, of inputs whose blocks were turned by the Hadamard matrix as `Rotation.hadamard64` turns them.
package final class BlockMoments {
  package let columns: Int
  private var sums: [Float]
  /// Rows that were added.
  package private(set) var rows = 0

  /// What moments take for each column.
  package static let bytesPerColumn = Rotation.block * MemoryLayout<Float>.size

  /// Nil when the columns do not divide into blocks.
  package init?(columns: Int) {
    guard columns > 0, Rotation.hadamard64.fits(columns: columns) else { return nil }
    self.columns = columns
    sums = [Float](repeating: 0, count: columns * Rotation.block)
  }

  /// Row-major, block after block.
  package var values: [Float] { sums }

  /// Adds the rows of `x`, [tokens, columns]. The order in which rows come decides how sums are rounded; the number of
  /// threads does not.
  ///
  /// - Precondition: `x` has `columns` columns.
  package func add(_ x: FloatMatrix, _ compute: Compute) {
    precondition(x.columns == columns)
    guard x.rows > 0 else { return }
    let turned = x.turned(compute)
    let (size, columns) = (Rotation.block, columns)
    sums.withUnsafeMutableBufferPointer { sums in
      guard let base = sums.baseAddress else { return }
      // Disjoint: each block's task writes its own sums.
      nonisolated(unsafe) let target = base
      compute.pool.run(columns / size) { block, _ in
        let source = turned.base + block * size
        grist_blas_multiply(
          kGristTranspose, kGristNoTranspose, Int32(size), Int32(size), Int32(turned.rows), 1, source, Int32(columns),
          source, Int32(columns), 1, target + block * size * size, Int32(size))
      }
    }
    rows += x.rows
  }
}
