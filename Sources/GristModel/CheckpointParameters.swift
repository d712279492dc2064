import GristCore
import GristKernels
import GristSources

/// Weights straight from an upstream checkpoint, at full precision: the reference.
public struct CheckpointParameters: ParameterStore {
  public let checkpoint: Checkpoint
  public let choices: ConfigurationChoices

  public init(_ checkpoint: Checkpoint, choices: ConfigurationChoices = ConfigurationChoices()) {
    self.checkpoint = checkpoint
    self.choices = choices
  }

  public var path: String { checkpoint.path }

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

  public func matrix(_ name: String, rows: Int, columns: Int) throws -> any LinearWeights {
    let tensor = try tensor(name, count: rows * columns, expected: [rows, columns])
    guard
      let weights = PlainWeights(
        rows: rows, columns: columns, bytes: try tensor.bytes(), elementType: tensor.elementType)
    else { throw wrongShape(name, expected: [rows, columns], found: tensor.shape) }
    return weights
  }

  public func embedding(_ name: String, rows: Int, columns: Int) throws -> any EmbeddingTable {
    MatrixTable(weights: try matrix(name, rows: rows, columns: columns))
  }

  public func values(_ name: String, count: Int) throws -> [Float] {
    let tensor = try tensor(name, count: count, expected: [count])
    return floats(try tensor.bytes(), tensor.elementType)
  }

  public func has(_ name: String) -> Bool { checkpoint.tensor(named: name) != nil }

  public func sideFile(named name: String) throws -> Bytes? { checkpoint.sideFile(named: name) }

  public func release(_ name: String) { checkpoint.tensor(named: name)?.release() }
}
