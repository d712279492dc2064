import GristCore
import GristKernels
import GristSources

/// Weights straight from an upstream checkpoint, at full precision: the reference.
struct CheckpointParameters: ParameterStore {
  let source: Source
  private let checkpoint: Checkpoint

  init(_ checkpoint: Checkpoint, of source: Source) {
    self.checkpoint = checkpoint
    self.source = source
  }

  private func tensor(_ name: String, count: Int, expected: [Int]) throws -> SourceTensor {
    guard let tensor = checkpoint.tensor(named: name) else { throw missing(name) }
    guard tensor.elementCount == count, tensor.shape.first == expected.first || expected.count == 1 else {
      throw wrongShape(name, expected: expected, found: tensor.shape)
    }
    guard tensor.elementType.isFloatingPoint else {
      throw GristError(
        .badData, "the model cannot compute with this type", file: tensor.file, tensor: name,
        offset: tensor.offset, found: tensor.elementType.rawValue)
    }
    return tensor
  }

  func matrix(_ name: String, rows: Int, columns: Int) throws -> any LinearWeights {
    let tensor = try tensor(name, count: rows * columns, expected: [rows, columns])
    guard
      let weights = PlainWeights(
        rows: rows, columns: columns, bytes: try tensor.bytes(), elementType: tensor.elementType)
    else { throw wrongShape(name, expected: [rows, columns], found: tensor.shape) }
    return weights
  }

  func embedding(_ name: String, rows: Int, columns: Int) throws -> any EmbeddingTable {
    MatrixTable(weights: try matrix(name, rows: rows, columns: columns))
  }

  func values(_ name: String, count: Int) throws -> [Float] {
    let tensor = try tensor(name, count: count, expected: [count])
    return floats(try tensor.bytes(), tensor.elementType)
  }

  func has(_ name: String) -> Bool { checkpoint.tensor(named: name) != nil }

  func release(_ name: String) { checkpoint.tensor(named: name)?.release() }
}
