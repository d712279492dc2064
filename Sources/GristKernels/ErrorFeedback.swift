import GristCore

/// How the rounding error of one column is best made up for by the columns of its block that are still to come, given the
/// second moments of the inputs that meet them (GPTQ, Frantar et al. 2022, inside blocks of 64 columns).
public final class ErrorFeedback: Sendable {
  public let columns: Int
  /// For every block an upper triangular 64 × 64 matrix U, row-major, with Uᵀ·U = the inverse of the block's damped moments.
  let factors: [Float]
  /// Blocks whose moments were all zero: their columns are rounded each for itself.
  public let emptyBlocks: Int

  /// - Parameters:
  ///   - moments: for every block of 64 columns the 64 × 64 sums of products of inputs, row-major and symmetric, turned as
  ///     the weights will be.
  ///   - damping: share of the mean of a block's diagonal that is added to it, so that directions no input had do not count
  ///     for nothing.
  ///
  /// Nil when the count is no multiple of a block or a moment is not finite.
  public init?(moments: [Float], damping: Double = 0.01) {
    let size = Rotation.block
    guard !moments.isEmpty, moments.count % (size * size) == 0, moments.allSatisfy(\.isFinite) else { return nil }
    columns = moments.count / size
    var factors = [Float](repeating: 0, count: moments.count)
    var empty = 0
    for block in 0..<columns / size {
      let start = block * size * size
      var matrix = moments[start..<start + size * size].map(Double.init)
      let mean = (0..<size).reduce(0) { $0 + matrix[$1 * size + $1] } / Double(size)
      if mean > 0 {
        for index in 0..<size { matrix[index * size + index] += damping * mean }
        if let factor = Self.inverseFactor(matrix, size) {
          for index in factor.indices { factors[start + index] = Float(factor[index]) }
          continue
        }
      }
      empty += 1
      for index in 0..<size { factors[start + index * size + index] = 1 }
    }
    self.factors = factors
    emptyBlocks = empty
  }

  /// The upper triangular U with Uᵀ·U = A⁻¹, nil when A is not positive definite.
  ///
  /// With J the reversal of rows, J·A·J = L·Lᵀ gives A = (J·L·J)·(J·Lᵀ·J), a product upper · lower; its inverse is
  /// (J·Lᵀ·J)⁻¹·(J·L·J)⁻¹, lower · upper, so that U is the inverse of J·L·J.
  static func inverseFactor(_ matrix: [Double], _ size: Int) -> [Double]? {
    func reversed(_ row: Int, _ column: Int) -> Int { (size - 1 - row) * size + size - 1 - column }
    var lower = [Double](repeating: 0, count: size * size)
    for row in 0..<size {
      for column in 0...row {
        var sum = matrix[reversed(row, column)]
        for k in 0..<column { sum -= lower[row * size + k] * lower[column * size + k] }
        if row == column {
          guard sum > 0, sum.isFinite else { return nil }
          lower[row * size + row] = sum.squareRoot()
        } else {
          lower[row * size + column] = sum / lower[column * size + column]
        }
      }
    }
    // The inverse of the upper triangular J·L·J, column by column.
    func upper(_ row: Int, _ column: Int) -> Double { lower[reversed(row, column)] }
    var inverse = [Double](repeating: 0, count: size * size)
    for column in 0..<size {
      inverse[column * size + column] = 1 / upper(column, column)
      for row in stride(from: column - 1, through: 0, by: -1) {
        var sum = 0.0
        for k in row + 1...column { sum += upper(row, k) * inverse[k * size + column] }
        inverse[row * size + column] = -sum / upper(row, row)
      }
    }
    return inverse
  }
}
