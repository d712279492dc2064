import GristCore
import GristKernels
import GristSources

/// Weights straight from an upstream checkpoint, at full precision: the reference.
struct CheckpointParameters: ParameterStore {
  let source: Source
  private let checkpoint: Checkpoint
  /// Who reads the weights where a budget is to be kept; nil where they are mapped.
  private let residency: Residency?

  init(_ checkpoint: Checkpoint, of source: Source, residency: Residency? = nil) {
    self.checkpoint = checkpoint
    self.source = source
    self.residency = residency
  }

  private func bytes(of tensor: SourceTensor) throws -> Bytes {
    guard let residency else { return try tensor.bytes() }
    return try residency.runs(of: source.stored(tensor.name))[0]
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
        rows: rows, columns: columns, bytes: try bytes(of: tensor), elementType: tensor.elementType)
    else { throw wrongShape(name, expected: [rows, columns], found: tensor.shape) }
    return weights
  }

  func embedding(_ name: String, rows: Int, columns: Int) throws -> any EmbeddingTable {
    guard let residency else { return MatrixTable(weights: try matrix(name, rows: rows, columns: columns)) }
    let tensor = try tensor(name, count: rows * columns, expected: [rows, columns])
    let rowBytes = columns * tensor.elementType.byteCount
    let rowsPerRun = max(1, Self.tableRunBytes / max(rowBytes, 1))
    guard let stored = StoredTensor(tensor, pieceBytes: max(rowsPerRun * rowBytes, 1)) else {
      // The error says why.
      _ = try source.stored(name)
      throw missing(name)
    }
    return RowTable(
      scheme: .plain(tensor.elementType), rows: rows, columns: columns, rowsPerRun: rowsPerRun, path: path, name: name
    ) { try residency.run($0, ofTable: stored) }
  }

  /// What is read for a row of a table, about.
  private static let tableRunBytes = 64 << 10

  func values(_ name: String, count: Int) throws -> [Float] {
    let tensor = try tensor(name, count: count, expected: [count])
    return floats(try bytes(of: tensor), tensor.elementType)
  }

  func has(_ name: String) -> Bool { checkpoint.tensor(named: name) != nil }

  func keeps(_ tensor: ExpectedTensor) -> Bool { residency?.keeps(tensor.name, tensor.part) ?? true }

  func release(_ name: String) {
    if residency == nil { checkpoint.tensor(named: name)?.release() }
  }
}
