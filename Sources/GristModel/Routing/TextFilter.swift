import GristKernels

/// The router's first, hidden decision: which of the prompt's tokens it looks at, and in which order.
struct TextFilter: Sendable {
  /// Tokens kept.
  let count: Int

  struct Result: Sendable {
    /// Indices of the kept tokens, most similar first; at most `count`.
    let order: [Int]
    /// Mean cosine similarity of every token to the image's tokens.
    let similarities: [Float]
  }

  /// Ranks text rows [tokens, width] by their mean cosine similarity to the whole image's unpooled tokens [patches,
  /// width]. Norms are clamped at 1e-8; equal similarities keep the tokens' order.
  func callAsFunction(text: FloatMatrix, image: FloatMatrix, _ compute: Compute) -> Result {
    guard compute.rounding == .none else { return rounded(text: text, image: image, compute) }
    let imageNorms = norms(image)
    let textNorms = norms(text)
    var similarities = [Float](repeating: 0, count: text.rows)
    similarities.withUnsafeMutableBufferPointer { similarities in
      // Disjoint elements: each task writes its own token's.
      nonisolated(unsafe) let similarities = similarities
      compute.pool.run(text.rows) { token, _ in
        text.withRow(token) { textRow in
          var sum = 0.0
          for patch in 0..<image.rows {
            let product = image.withRow(patch) { dot(textRow, $0) }
            sum += Double(product / (textNorms[token] * imageNorms[patch]))
          }
          similarities[token] = Float(sum / Double(max(image.rows, 1)))
        }
      }
    }
    return ranked(similarities)
  }

  private func ranked(_ similarities: [Float]) -> Result {
    let order = similarities.indices.sorted {
      similarities[$0] != similarities[$1] ? similarities[$0] > similarities[$1] : $0 < $1
    }
    return Result(order: Array(order.prefix(count)), similarities: similarities)
  }

  /// The same where results are rounded: rows over their norms, each cosine and their mean, as PyTorch computes it.
  private func rounded(text: FloatMatrix, image: FloatMatrix, _ compute: Compute) -> Result {
    func unit(_ rows: FloatMatrix) -> FloatMatrix {
      let result = rows.copy(rows: 0..<rows.rows)
      for (row, norm) in norms(rows).enumerated() {
        let norm = compute.rounding(norm)
        result.withMutableRow(row) { values in for index in values.indices { values[index] /= norm } }
      }
      compute.round(result)
      return result
    }
    let text = unit(text)
    let image = unit(image)
    return ranked(
      (0..<text.rows).map { token in
        text.withRow(token) { textRow in
          let sum = (0..<image.rows).reduce(0.0) { sum, patch in
            sum + Double(compute.rounding(image.withRow(patch) { dot(textRow, $0) }))
          }
          return compute.rounding(Float(sum / Double(max(image.rows, 1))))
        }
      })
  }

  private func norms(_ rows: FloatMatrix) -> [Float] {
    (0..<rows.rows).map { row in max(rows.withRow(row) { dot($0, $0) }.squareRoot(), 1e-8) }
  }
}
