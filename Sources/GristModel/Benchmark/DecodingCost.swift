import GristCore
import GristFormat
import GristKernels
import GristSources

/// What the decoder must read and compute at least, by its configuration and the way its weights are stored.
package struct DecodingCost: Sendable, Equatable {
  /// Bytes of weights that every decoded token reads: all layers, the last norm and the head, scales counted in.
  package let weightBytesPerToken: Int
  /// Multiplications and additions of a prompt's row in the layers' matrices, each counted as one operation. Attention
  /// comes on top; the head is computed for the last row only.
  package let operationsPerRow: Int

  package init(weightBytesPerToken: Int, operationsPerRow: Int) {
    self.weightBytesPerToken = weightBytesPerToken
    self.operationsPerRow = operationsPerRow
  }

  init(_ source: Source, _ configuration: ModelConfiguration) {
    var bytes = 0
    var operations = 0
    for tensor in configuration.expectedTensors {
      switch tensor.part {
      case .languageLayer:
        bytes += source.computedBytes(of: tensor.name)
        if tensor.kind == .linear { operations += 2 * (elementCount(of: tensor.shape) ?? 0) }
      case .head where tensor.isRequired, .tokenEmbeddings where configuration.tiesWordEmbeddings:
        bytes += source.computedBytes(of: tensor.name)
      default: break
      }
    }
    self.init(weightBytesPerToken: bytes, operationsPerRow: operations)
  }
}

extension DecodingCost {
  /// Tokens decoded a second if memory, giving `bytesPerSecond`, did nothing but deliver the weights and `cacheBytes` of
  /// keys and values.
  package func decodeRate(bytesPerSecond: Double, cacheBytes: Int) -> Double {
    bytesPerSecond / Double(max(weightBytesPerToken + cacheBytes, 1))
  }
}

extension MachineLimits {
  /// Tokens a second of a prompt if all int8 units did nothing but the layers' matrices.
  package func prefillRate(_ cost: DecodingCost) -> Double {
    int8OperationsPerSecond / Double(max(cost.operationsPerRow, 1))
  }

}
