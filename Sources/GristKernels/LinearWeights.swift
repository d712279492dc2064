import GristCore

/// A weight matrix [rows = outputs, columns = inputs], however it is stored.
public protocol LinearWeights: Sendable {
  var rows: Int { get }
  var columns: Int { get }

  /// Writes the rows `range` as f32, one after the other, to `out`, which has room for them.
  func expand(_ range: Range<Int>, into out: UnsafeMutablePointer<Float>)

  /// out[t, r] = Σ x[t, k] · weight[r, k] (+ bias[r]) for all tokens t and rows r.
  func multiply(_ x: FloatMatrix, bias: [Float]?, into out: FloatMatrix, compute: Compute)
}

extension Compute {
  /// x · weightᵀ (+ bias): [tokens, columns] → [tokens, rows].
  public func linear(_ x: FloatMatrix, _ weights: some LinearWeights, bias: [Float]? = nil) -> FloatMatrix {
    precondition(x.columns == weights.columns, "a linear layer's input is as wide as its weights")
    precondition(bias == nil || bias?.count == weights.rows)
    let out = FloatMatrix(rows: x.rows, columns: weights.rows)
    guard x.rows > 0 else { return out }
    weights.multiply(x, bias: bias, into: out, compute: self)
    return out
  }
}

extension LinearWeights {
  /// One row as f32.
  public func row(_ index: Int) -> [Float] {
    precondition(index >= 0 && index < rows)
    return [Float](unsafeUninitializedCapacity: columns) { buffer, count in
      if let base = buffer.baseAddress { expand(index..<index + 1, into: base) }
      count = columns
    }
  }

  /// The product by way of f32: blocks of rows are expanded into a scratch buffer and multiplied by OpenBLAS. The
  /// blocks do not depend on the number of threads, so neither do the sums.
  func multiplyExpanded(_ x: FloatMatrix, bias: [Float]?, into out: FloatMatrix, compute: Compute) {
    let blockRows = min(max(16, (262144 / max(columns, 1)) / 16 * 16), 256)
    let blocks = (rows + blockRows - 1) / blockRows
    let scratch = FloatMatrix(rows: compute.pool.threadCount, columns: blockRows * columns)
    compute.pool.run(blocks) { block, worker in
      let range = block * blockRows..<min((block + 1) * blockRows, rows)
      let expanded = scratch.base + worker * scratch.columns
      expand(range, into: expanded)
      multiplyTransposed(
        rows: x.rows, columns: range.count, inner: columns, a: x.base, aStride: columns, b: expanded,
        bStride: columns, out: out.base + range.lowerBound, outStride: out.columns)
      if let bias { addBias(bias, range, to: out) }
    }
  }

  func addBias(_ bias: [Float], _ range: Range<Int>, to out: FloatMatrix) {
    bias.withUnsafeBufferPointer { bias in
      guard let address = bias.baseAddress else { return }
      for token in 0..<out.rows {
        kernels.add(out.base + token * out.columns + range.lowerBound, address + range.lowerBound, range.count)
      }
    }
  }
}
