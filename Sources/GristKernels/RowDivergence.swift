internal import CGristKernels
import GristCore
internal import RealModule

extension Compute {
  /// KL divergence, in nats, of each row's softmax in `model` from that in `reference`; to about 1e-6, and not below 0.
  ///
  /// Probabilities are computed in f32 and summed in f64: quick enough for hundreds of models' logits beside one's.
  /// What a report says is computed in f64 throughout.
  ///
  /// - Precondition: Both have the same shape, and a column at least.
  package func divergences(reference: FloatMatrix, model: FloatMatrix) -> [Double] {
    precondition(reference.rows == model.rows && reference.columns == model.columns && reference.columns > 0)
    var divergences = [Double](repeating: 0, count: reference.rows)
    divergences.withUnsafeMutableBufferPointer { results in
      // Disjoint: each row's task writes its own.
      nonisolated(unsafe) let results = results
      pool.run(reference.rows) { row, _ in
        results[row] = reference.withRow(row) { reference in
          model.withRow(row) { model in Self.divergence(reference, model) }
        }
      }
    }
    return divergences
  }

  private static func divergence(_ reference: UnsafeBufferPointer<Float>, _ model: UnsafeBufferPointer<Float>) -> Double
  {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: reference.count) { scratch in
      guard let base = scratch.baseAddress else { return 0 }
      /// Probabilities into the scratch; the logarithm of what they were divided by.
      func softmax(_ logits: UnsafeBufferPointer<Float>) -> Double {
        _ = scratch.update(from: logits)
        kernels.softmax(base, logits.count)
        guard let top = logits.indices.max(by: { logits[$0] < logits[$1] }) else { return 0 }
        return Double(logits[top]) - Double.log(Double(scratch[top]))
      }
      let modelNormalizer = softmax(model)
      let referenceNormalizer = softmax(reference)
      var sum = 0.0
      for index in reference.indices { sum += Double(scratch[index]) * Double(reference[index] - model[index]) }
      return max(0, sum - referenceNormalizer + modelNormalizer)
    }
  }
}
