/// Products in f32 that training needs, forward and backward; sums do not depend on the number of threads.
extension Compute {
  /// x · weightᵀ + bias: [rows, inputs] and [outputs, inputs] to [rows, outputs].
  ///
  /// - Precondition: `x` and `weight` are equally wide, and `bias` is one row with a value an output.
  package func affine(_ x: FloatMatrix, _ weight: FloatMatrix, bias: FloatMatrix) -> FloatMatrix {
    precondition(x.columns == weight.columns && bias.count == weight.rows)
    let out = FloatMatrix(uninitializedRows: x.rows, columns: weight.rows)
    inBlocks(of: x.rows, or: weight.rows) { rows, outputs in
      multiplyTransposed(
        rows: rows.count, columns: outputs.count, inner: x.columns, a: x.base + rows.lowerBound * x.columns,
        aStride: x.columns, b: weight.base + outputs.lowerBound * weight.columns, bStride: weight.columns,
        out: out.base + rows.lowerBound * out.columns + outputs.lowerBound, outStride: out.columns)
      for row in rows {
        kernels.add(out.base + row * out.columns + outputs.lowerBound, bias.base + outputs.lowerBound, outputs.count)
      }
    }
    return out
  }

  /// gradient · weight: what reaches the input of ``affine(_:_:bias:)``, [rows, inputs].
  ///
  /// - Precondition: `gradient` is [rows, outputs].
  package func affineInputGradient(_ gradient: FloatMatrix, _ weight: FloatMatrix) -> FloatMatrix {
    precondition(gradient.columns == weight.rows)
    let out = FloatMatrix(uninitializedRows: gradient.rows, columns: weight.columns)
    inBlocks(of: gradient.rows, or: weight.columns) { rows, inputs in
      multiplyMatrices(
        rows: rows.count, columns: inputs.count, inner: weight.rows,
        a: gradient.base + rows.lowerBound * gradient.columns, aStride: gradient.columns,
        b: weight.base + inputs.lowerBound, bStride: weight.columns,
        out: out.base + rows.lowerBound * out.columns + inputs.lowerBound, outStride: out.columns)
    }
    return out
  }

  /// Adds gradientᵀ · x, what reaches the weight of ``affine(_:_:bias:)``, to `weightGradient`, and the sums of
  /// `gradient`'s columns to `biasGradient`.
  ///
  /// - Precondition: Shapes are those of the layer: x [rows, inputs], gradient [rows, outputs].
  package func addAffineGradients(
    _ gradient: FloatMatrix, _ x: FloatMatrix, weight weightGradient: FloatMatrix, bias biasGradient: FloatMatrix
  ) {
    precondition(gradient.rows == x.rows && weightGradient.rows == gradient.columns)
    precondition(weightGradient.columns == x.columns && biasGradient.count == gradient.columns)
    inBlocks(of: weightGradient.rows) { range in
      addTransposedProduct(
        rows: range.count, columns: x.columns, inner: x.rows, a: gradient.base + range.lowerBound,
        aStride: gradient.columns, b: x.base, bStride: x.columns,
        out: weightGradient.base + range.lowerBound * x.columns, outStride: x.columns)
      addColumnSums(of: gradient, range, to: biasGradient)
    }
  }

  /// The greater of a result's two extents cut into blocks, so that what each has to read beside its own is the lesser.
  private func inBlocks(of rows: Int, or columns: Int, _ body: @Sendable (Range<Int>, Range<Int>) -> Void) {
    guard rows > 0 else { return }
    if rows >= columns {
      inBlocks(of: rows) { body($0, 0..<columns) }
    } else {
      inBlocks(of: columns) { body(0..<rows, $0) }
    }
  }

  /// A fixed number of blocks, whatever the number of threads: what is summed does not depend on it.
  private func inBlocks(of count: Int, _ body: @Sendable (Range<Int>) -> Void) {
    let blocks = min(max(count / 16, 1), 8)
    pool.run(count == 0 ? 0 : blocks) { block, _ in body(block * count / blocks..<(block + 1) * count / blocks) }
  }

  /// Sums in double precision, of a range of columns.
  private func addColumnSums(of x: FloatMatrix, _ range: Range<Int>, to out: FloatMatrix) {
    var sums = [Double](repeating: 0, count: range.count)
    for row in 0..<x.rows {
      let values = x.base + row * x.columns + range.lowerBound
      for index in sums.indices { sums[index] += Double(values[index]) }
    }
    for index in sums.indices { out.base[range.lowerBound + index] += Float(sums[index]) }
  }

  /// Calls `body` with each row of four matrices of one shape, several at a time.
  package func forEachRow(
    of a: FloatMatrix, _ b: FloatMatrix, _ c: FloatMatrix, _ d: FloatMatrix,
    _ body:
      @Sendable (
        UnsafeMutableBufferPointer<Float>, UnsafeBufferPointer<Float>, UnsafeMutableBufferPointer<Float>,
        UnsafeMutableBufferPointer<Float>
      ) -> Void
  ) {
    precondition([b, c, d].allSatisfy { $0.rows == a.rows && $0.columns == a.columns })
    overRows(a.rows, cost: a.columns) { range in
      for row in range {
        let offset = row * a.columns
        body(
          UnsafeMutableBufferPointer(start: a.base + offset, count: a.columns),
          UnsafeBufferPointer(start: b.base + offset, count: a.columns),
          UnsafeMutableBufferPointer(start: c.base + offset, count: a.columns),
          UnsafeMutableBufferPointer(start: d.base + offset, count: a.columns))
      }
    }
  }
}
