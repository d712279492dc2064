internal import Glibc

/// Derivatives of what stands between the products of a layer that is trained.
extension Compute {
  /// What reaches the input of a LayerNorm, and what reaches its weight and bias, which is added to theirs.
  ///
  /// - Parameters:
  ///   - gradient: of what the norm gave, [rows, width].
  ///   - x: what it was given, [rows, width].
  ///   - weight: [1, width].
  ///   - epsilon: the norm's.
  ///   - weightGradient, biasGradient: [1, width], added to.
  ///
  /// - Precondition: All are equally wide.
  package func layerNormGradient(
    _ gradient: FloatMatrix, of x: FloatMatrix, weight: FloatMatrix, epsilon: Float,
    weightGradient: FloatMatrix, biasGradient: FloatMatrix
  ) -> FloatMatrix {
    precondition(gradient.rows == x.rows && gradient.columns == x.columns)
    precondition([weight, weightGradient, biasGradient].allSatisfy { $0.count == x.columns })
    let (rows, width) = (x.rows, x.columns)
    let out = FloatMatrix(uninitializedRows: rows, columns: width)
    // Each row's mean and inverse deviation, which the sums over rows want once more.
    let moments = FloatMatrix(uninitializedRows: rows, columns: 2)
    overRows(rows, cost: width) { range in
      for row in range {
        let (values, gradients) = (x.base + row * width, gradient.base + row * width)
        let (mean, inverse) = Self.moments(values, width, epsilon)
        moments.base[row * 2] = Float(mean)
        moments.base[row * 2 + 1] = Float(inverse)
        var (sum, product) = (0.0, 0.0)
        for column in 0..<width {
          let scaled = Double(gradients[column] * weight.base[column])
          sum += scaled
          product += scaled * (Double(values[column]) - mean) * inverse
        }
        let (meanGradient, slope) = (Float(sum / Double(width)), Float(product / Double(width)))
        for column in 0..<width {
          let normalized = (values[column] - Float(mean)) * Float(inverse)
          out.base[row * width + column] =
            Float(inverse) * (gradients[column] * weight.base[column] - meanGradient - normalized * slope)
        }
      }
    }
    overColumns(width) { range in
      var weights = [Double](repeating: 0, count: range.count)
      var biases = weights
      for row in 0..<rows {
        let (mean, inverse) = (moments.base[row * 2], moments.base[row * 2 + 1])
        for (index, column) in range.enumerated() {
          let value = gradient.base[row * width + column]
          weights[index] += Double(value * (x.base[row * width + column] - mean) * inverse)
          biases[index] += Double(value)
        }
      }
      for (index, column) in range.enumerated() {
        weightGradient.base[column] += Float(weights[index])
        biasGradient.base[column] += Float(biases[index])
      }
    }
    return out
  }

  private static func moments(
    _ values: UnsafePointer<Float>, _ count: Int, _ epsilon: Float
  ) -> (mean: Double, inverseDeviation: Double) {
    var sum = 0.0
    for index in 0..<count { sum += Double(values[index]) }
    let mean = sum / Double(count)
    var squares = 0.0
    for index in 0..<count {
      let distance = Double(values[index]) - mean
      squares += distance * distance
    }
    return (mean, 1 / (squares / Double(count) + Double(epsilon)).squareRoot())
  }

  /// gradient · GELU′(x), in place of `gradient`: GELU with the error function.
  ///
  /// - Precondition: Both have the same shape.
  package func multiplyByGELUSlope(_ gradient: FloatMatrix, at x: FloatMatrix) {
    precondition(gradient.rows == x.rows && gradient.columns == x.columns)
    overRows(x.rows, cost: x.columns) { range in
      for index in range.lowerBound * x.columns..<range.upperBound * x.columns {
        let value = x.base[index]
        let cumulative = 0.5 * (1 + erff(value * Float(0.5).squareRoot()))
        let density = expf(-0.5 * value * value) * Float(0.398_942_280_401_432_7)
        gradient.base[index] *= cumulative + value * density
      }
    }
  }

  /// gradient where ReLU let its input through, and 0 elsewhere, in place of `gradient`.
  ///
  /// - Parameters:
  ///   - gradient: of what ReLU gave.
  ///   - result: what it gave.
  ///
  /// - Precondition: Both have the same shape.
  package func multiplyByReLUSlope(_ gradient: FloatMatrix, of result: FloatMatrix) {
    precondition(gradient.rows == result.rows && gradient.columns == result.columns)
    overRows(result.rows, cost: result.columns) { range in
      for index in range.lowerBound * result.columns..<range.upperBound * result.columns
      where !(result.base[index] > 0) { gradient.base[index] = 0 }
    }
  }

  /// What reaches queries, keys and values of attention among the elements of short sequences, each by itself.
  ///
  /// - Parameters:
  ///   - gradient: of what the attention gave, [rows, width].
  ///   - projected: its queries, keys and values beside each other, [rows, 3 · width].
  ///   - heads: equal parts of the width.
  ///   - layout: where a sequence's elements lie.
  ///
  /// - Returns: [rows, 3 · width].
  /// - Precondition: Sequences are disjoint and lie in the rows; the width is a multiple of the heads.
  package func attentionGradient(
    _ gradient: FloatMatrix, projected: FloatMatrix, heads: Int, layout: SequenceLayout
  ) -> FloatMatrix {
    let width = gradient.columns
    precondition(projected.columns == 3 * width && projected.rows == gradient.rows && width % heads == 0)
    precondition(layout.sequences * layout.length == gradient.rows)
    let out = FloatMatrix(uninitializedRows: gradient.rows, columns: 3 * width)
    let (length, dimension) = (layout.length, width / heads)
    let scale = 1 / Float(dimension).squareRoot()
    pool.run((layout.sequences + 15) / 16) { block, _ in
      var shares = [Float](repeating: 0, count: length * length)
      var slopes = shares
      for sequence in block * 16..<min(block * 16 + 16, layout.sequences) {
        func row(_ element: Int) -> Int { sequence * layout.sequenceStride + element * layout.elementStride }
        for head in 0..<heads {
          func part(_ matrix: FloatMatrix, _ index: Int, _ element: Int) -> UnsafeMutablePointer<Float> {
            matrix.base + row(element) * matrix.columns + index * width + head * dimension
          }
          func product(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>) -> Float {
            dot(UnsafeBufferPointer(start: a, count: dimension), UnsafeBufferPointer(start: b, count: dimension))
          }
          for query in 0..<length {
            for key in 0..<length {
              shares[query * length + key] = scale * product(part(projected, 0, query), part(projected, 1, key))
              slopes[query * length + key] = product(part(gradient, 0, query), part(projected, 2, key))
            }
            Self.softmaxGradient(&shares, &slopes, query * length..<(query + 1) * length)
          }
          for element in 0..<length {
            let results = (0..<3).map { part(out, $0, element) }
            for result in results { result.update(repeating: 0, count: dimension) }
            for other in 0..<length {
              let (query, key) = (part(projected, 0, other), part(projected, 1, other))
              let given = part(gradient, 0, other)
              let toQuery = scale * slopes[element * length + other]
              let toKey = scale * slopes[other * length + element]
              let toValue = shares[other * length + element]
              for index in 0..<dimension {
                results[0][index] += toQuery * key[index]
                results[1][index] += toKey * query[index]
                results[2][index] += toValue * given[index]
              }
            }
          }
        }
      }
    }
    return out
  }

  /// Makes shares of scores, and of their gradients those of the scores, for one row of each.
  private static func softmaxGradient(_ shares: inout [Float], _ slopes: inout [Float], _ range: Range<Int>) {
    let greatest = range.reduce(-Float.infinity) { max($0, shares[$1]) }
    var sum: Float = 0
    for index in range {
      shares[index] = expf(shares[index] - greatest)
      sum += shares[index]
    }
    var mean: Float = 0
    for index in range {
      shares[index] /= sum
      mean += shares[index] * slopes[index]
    }
    for index in range { slopes[index] = shares[index] * (slopes[index] - mean) }
  }

  private func overColumns(_ columns: Int, _ body: @Sendable (Range<Int>) -> Void) {
    let blocks = min(max(columns / 16, 1), 16)
    pool.run(columns == 0 ? 0 : blocks) { block, _ in
      body(block * columns / blocks..<(block + 1) * columns / blocks)
    }
  }
}
