import GristCore

/// How what the rounding of one column loses is best made up for by columns still to come, given the second moments H
/// of the inputs that meet them.
///
/// With H = F·D·Fᵀ, F unit upper triangular and D diagonal, column j is rounded after Σ lost(i) · F[i, j] of the
/// columns i < j was added to it; what is left is weighed by D[j] (Frantar et al. 2022, "GPTQ", in the form of Chee et
/// al. 2023, "QuIP").
public final class ErrorFeedback: Sendable {
  package let columns: Int
  /// Columns among which the kernel feeds losses on itself.
  let window: Int
  /// F inside the windows: [columns, window], row i holding the shares of its window's columns; zero up to the
  /// diagonal.
  let near: [Float]
  /// D.
  let importance: [Float]
  /// F whole, of which what lies above the diagonal counts; nil where losses stay inside their window.
  let far: FloatMatrix?
  /// Columns whose moments were too small to say anything, or contradicted the others: they count as little as damping
  /// alone makes them.
  package let raisedPivots: Int
  /// Blocks whose moments were all zero: their columns are rounded each for itself.
  package let emptyBlocks: Int

  /// Feedback inside blocks of 64 columns.
  ///
  /// - Parameters:
  ///   - moments: for every block of 64 columns the 64 × 64 sums of products of inputs, row-major and symmetric, turned
  ///     as the weights will be.
  ///   - damping: share of the mean of a block's diagonal that is added to it, so that directions no input had do not
  ///     count for nothing.
  ///
  /// Nil when the count is no multiple of a block or a moment is not finite.
  package init?(moments: [Float], damping: Double = 0.01) {
    let size = Rotation.block
    guard !moments.isEmpty, moments.count % (size * size) == 0, moments.allSatisfy(\.isFinite) else { return nil }
    columns = moments.count / size
    window = size
    var near = [Float](repeating: 0, count: moments.count)
    var importance = [Float](repeating: 1, count: columns)
    var (empty, raised) = (0, 0)
    for block in 0..<columns / size {
      var matrix = moments[block * size * size..<(block + 1) * size * size].map(Double.init)
      let mean = (0..<size).reduce(0) { $0 + matrix[$1 * size + $1] } / Double(size)
      guard mean > 0 else {
        empty += 1
        continue
      }
      for index in 0..<size { matrix[index * size + index] += damping * mean }
      raised += factorUpper(&matrix, size, floor: damping * mean / 2)
      for column in 0..<size {
        let pivot = matrix[column * size + column]
        importance[block * size + column] = Float(pivot * pivot)
        for row in 0..<column {
          near[(block * size + row) * size + column] = Float(matrix[row * size + column] / pivot)
        }
      }
    }
    self.near = near
    self.importance = importance
    far = nil
    emptyBlocks = empty
    raisedPivots = raised
  }

  /// Feedback among all columns, from a factor R of the damped moments, H = R·Rᵀ, whose upper triangle is given and
  /// becomes F.
  init(factor: FloatMatrix, raisedPivots: Int, _ compute: Compute) {
    precondition(factor.rows == factor.columns)
    let columns = factor.columns
    let window = TileShape.widestGroup
    let diagonal = (0..<columns).map { factor[$0, $0] }
    let inverse = diagonal.map { 1 / $0 }
    compute.overRows(columns, cost: columns) { rows in
      for row in rows {
        let values = factor.base + row * columns
        for column in row + 1..<max(columns, row + 1) { values[column] *= inverse[column] }
      }
    }
    var near = [Float](repeating: 0, count: columns * window)
    for row in 0..<columns {
      let start = row / window * window
      for column in row + 1..<max(min(start + window, columns), row + 1) {
        near[row * window + column - start] = factor[row, column]
      }
    }
    self.columns = columns
    self.window = window
    self.near = near
    importance = diagonal.map { $0 * $0 }
    far = factor
    self.raisedPivots = raisedPivots
    emptyBlocks = 0
  }
}

/// R upper triangular with R·Rᵀ = A, in place over the upper triangle of a small A (row-major); what lies below is left
/// as it was. A pivot below `floor`, which no rounding leads to but a matrix that is not what it should be, is raised
/// to it. Returns how many were.
func factorUpper(_ matrix: inout [Double], _ size: Int, floor: Double) -> Int {
  var raised = 0
  matrix.withUnsafeMutableBufferPointer { matrix in
    for column in stride(from: size - 1, through: 0, by: -1) {
      var pivot = matrix[column * size + column]
      for k in column + 1..<max(size, column + 1) { pivot -= matrix[column * size + k] * matrix[column * size + k] }
      if !(pivot >= floor) {
        pivot = floor
        raised += 1
      }
      let root = pivot.squareRoot()
      matrix[column * size + column] = root
      for row in 0..<column {
        var sum = matrix[row * size + column]
        for k in column + 1..<max(size, column + 1) { sum -= matrix[row * size + k] * matrix[column * size + k] }
        matrix[row * size + column] = sum / root
      }
    }
  }
  return raised
}
