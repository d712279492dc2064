internal import CGristBLAS
import GristCore

/// Second moments of all of a matrix's inputs: xᵀ·x summed over the tokens seen, [columns, columns], of inputs whose
/// blocks were turned as `Rotation.hadamard64` turns them. Takes 4 · columns² bytes, which the feedback made of it
/// takes over.
package final class InputCovariance {
  package let columns: Int
  /// Only what lies on and above the diagonal is kept.
  private let sums: FloatMatrix
  private let compute: Compute
  /// Side of the tiles that are computed at once; so the sums do not depend on the number of threads.
  private static let tile = 512
  /// Columns that are factored together.
  private static let panel = 256

  /// Whether moments of inputs of this width can be kept: they divide into blocks.
  package static func fits(columns: Int) -> Bool { columns > 0 && Rotation.hadamard64.fits(columns: columns) }

  /// Nil when the columns do not fit.
  package init?(columns: Int, _ compute: Compute) {
    guard Self.fits(columns: columns) else { return nil }
    self.columns = columns
    self.compute = compute
    sums = FloatMatrix(rows: columns, columns: columns)
  }

  /// Adds the rows of `x`, [tokens, columns].
  ///
  /// - Precondition: `x` has `columns` columns.
  package func add(_ x: FloatMatrix) {
    precondition(x.columns == columns)
    guard x.rows > 0 else { return }
    let turned = x.turned(compute)
    let sums = sums
    overUpperTiles(0..<columns) { rows, columns in
      grist_blas_multiply(
        kGristTranspose, kGristNoTranspose, Int32(rows.count), Int32(columns.count), Int32(turned.rows), 1,
        turned.base + rows.lowerBound, Int32(turned.columns), turned.base + columns.lowerBound, Int32(turned.columns),
        1,
        sums.address(rows.lowerBound, columns.lowerBound), Int32(sums.columns))
    }
  }

  /// The feedback that these moments ask for; nil when one is not finite or all are zero. The moments are gone
  /// afterwards.
  ///
  /// - Parameter damping: share of the diagonal's mean that is added to it.
  package func feedback(damping: Double = 0.01) -> ErrorFeedback? {
    let diagonal = (0..<columns).map { Double(sums[$0, $0]) }
    let mean = diagonal.reduce(0, +) / Double(columns)
    guard mean.isFinite, mean > 0 else { return nil }
    for index in 0..<columns { sums[index, index] += Float(damping * mean) }
    var raised = 0
    let first = (columns - 1) / Self.panel * Self.panel
    for start in stride(from: first, through: 0, by: -Self.panel) {
      raised += factorPanel(start..<min(start + Self.panel, columns), floor: damping * mean / 2)
    }
    guard (0..<columns).allSatisfy({ sums[$0, $0].isFinite }) else { return nil }
    return ErrorFeedback(factor: sums, raisedPivots: raised, compute)
  }

  /// The factor's columns `panel`, and what they take from all before them. Returns the pivots that were raised.
  private func factorPanel(_ panel: Range<Int>, floor: Double) -> Int {
    let sums = sums
    let size = panel.count
    var corner = (0..<size * size).map {
      Double(sums[panel.lowerBound + $0 / size, panel.lowerBound + $0 % size])
    }
    let raised = factorUpper(&corner, size, floor: floor)
    for row in 0..<size {
      for column in row..<size {
        sums[panel.lowerBound + row, panel.lowerBound + column] = Float(corner[row * size + column])
      }
    }
    let above = 0..<panel.lowerBound
    let tiles = (above.count + Self.tile - 1) / Self.tile
    compute.pool.run(tiles) { tile, _ in
      let rows = (tile * Self.tile..<(tile + 1) * Self.tile).clamped(to: above)
      // X·Rᵀ = A.
      grist_blas_solve_upper_transposed(
        Int32(rows.count), Int32(size), sums.address(panel.lowerBound, panel.lowerBound), Int32(sums.columns),
        sums.address(rows.lowerBound, panel.lowerBound), Int32(sums.columns))
    }
    overUpperTiles(above) { rows, columns in
      grist_blas_multiply(
        kGristNoTranspose, kGristTranspose, Int32(rows.count), Int32(columns.count), Int32(size), -1,
        sums.address(rows.lowerBound, panel.lowerBound), Int32(sums.columns),
        sums.address(columns.lowerBound, panel.lowerBound), Int32(sums.columns), 1,
        sums.address(rows.lowerBound, columns.lowerBound), Int32(sums.columns))
    }
    return raised
  }

  /// Calls `body` for tiles that together hold all of `range` × `range` on and above the diagonal, several at a time.
  private func overUpperTiles(
    _ range: Range<Int>, _ body: @Sendable (_ rows: Range<Int>, _ columns: Range<Int>) -> Void
  ) {
    let side = (range.count + Self.tile - 1) / Self.tile
    @Sendable func extent(_ index: Int) -> Range<Int> {
      (range.lowerBound + index * Self.tile..<range.lowerBound + (index + 1) * Self.tile).clamped(to: range)
    }
    let tiles = (0..<side).flatMap { row in (row..<side).map { (row, $0) } }
    compute.pool.run(tiles.count) { index, _ in body(extent(tiles[index].0), extent(tiles[index].1)) }
  }
}

extension FloatMatrix {
  fileprivate func address(_ row: Int, _ column: Int) -> UnsafeMutablePointer<Float> { base + row * columns + column }

  /// A copy whose blocks of 64 columns are turned by the Hadamard matrix.
  func turned(_ compute: Compute) -> FloatMatrix {
    let result = copy(rows: 0..<rows)
    compute.overRows(rows, cost: columns) { range in
      GroupCoding(rotation: .hadamard64).rotate(
        result.base + range.lowerBound * columns, count: range.count, columns: columns)
    }
    return result
  }
}
