import GristCheckpoints
import GristCore
import GristFamilies
import GristFormat
import GristKernels

/// Weights from a `.grist` file: raw chunks in place, packed ones unpacked into memory of their own, in parallel, when a
/// weight is first asked for.
public struct GristParameters: ParameterStore {
  public let file: GristFile
  private let pool: ThreadPool

  /// What the file keeps of what was said about its configuration, and what is said now.
  public let choices: ConfigurationChoices

  public init(_ file: GristFile, pool: ThreadPool, choices: ConfigurationChoices = ConfigurationChoices()) {
    self.file = file
    self.pool = pool
    self.choices = choices.adding(to: ConfigurationChoices(file.manifest.provenance))
  }

  public var path: String { file.path }

  private func record(_ name: String, _ expected: [Int]) throws -> TensorRecord {
    guard let record = file.tensor(named: name) else { throw missing(name) }
    let matches =
      expected.count == 1
      ? elementCount(of: record.shape) == expected[0]
      : matrixExtents(record.shape).map { [$0.rows, $0.columns] } == expected
    guard matches else { throw wrongShape(name, expected: expected, found: record.shape) }
    return record
  }

  private func payloads(_ record: TensorRecord) throws -> [Bytes] {
    try pool.map(record.chunks.count) { index in
      let chunk = record.chunks.first + index
      let payload = try file.payload(ofChunk: chunk)
      // What was unpacked stands in memory of its own; the packed pages need not stay beside it.
      if !file.isRaw(chunk: chunk) { file.release(chunk: chunk) }
      return payload
    }
  }

  public func matrix(_ name: String, rows: Int, columns: Int) throws -> any LinearWeights {
    let record = try record(name, [rows, columns])
    let runs = try payloads(record)
    let weights: (any LinearWeights)?
    switch record.scheme {
    case .plain(.f64):
      weights = PlainWeights(
        rows: rows, columns: columns, bytes: Bytes(runs.flatMap(\.array)), elementType: .f64)
    case .plain(let type):
      weights = PlainWeights(
        rows: rows, columns: columns, elementType: type, runs: runs, rowsPerRun: record.chunks.unitsPerChunk)
    case .grouped(let scheme):
      weights = scheme.shape(rows: rows, columns: columns).flatMap {
        TiledWeights(
          shape: $0, coding: scheme.coding, multiplier: scheme.multiplier, runs: runs,
          tilesPerRun: record.chunks.unitsPerChunk)
      }
    }
    guard let weights else {
      throw GristError(
        .badData, "the model cannot compute with this tensor's scheme", file: path, tensor: name,
        found: record.scheme.name)
    }
    return weights
  }

  public func embedding(_ name: String, rows: Int, columns: Int) throws -> any EmbeddingTable {
    let record = try record(name, [rows, columns])
    if case .grouped(let scheme) = record.scheme, scheme.layout == .tile16 {
      return MatrixTable(weights: try matrix(name, rows: rows, columns: columns))
    }
    return StoredTable(file: file, record: record, rows: rows, columns: columns)
  }

  public func values(_ name: String, count: Int) throws -> [Float] {
    let record = try record(name, [count])
    guard case .plain(let type) = record.scheme, type.isFloatingPoint else {
      throw GristError(
        .badData, "the model cannot compute with this tensor's scheme", file: path, tensor: name,
        found: record.scheme.name)
    }
    return try payloads(record).flatMap { floats($0, type) }
  }

  public func sideFile(named name: String) throws -> Bytes? { try file.sideFile(named: name) }

  public func release(_ name: String) {
    guard let record = file.tensor(named: name) else { return }
    for chunk in record.chunks.range where file.isRaw(chunk: chunk) { file.release(chunk: chunk) }
  }
}

/// A table that stays in the file: a row is looked up in its chunk, which is small and unpacked for the purpose.
private struct StoredTable: EmbeddingTable {
  let file: GristFile
  let record: TensorRecord
  let rows: Int
  let columns: Int

  func copyRow(_ index: Int, into out: UnsafeMutableBufferPointer<Float>) throws {
    let rowsPerChunk = record.chunks.unitsPerChunk
    let run = try file.payload(ofChunk: record.chunks.first + index / rowsPerChunk)
    let row = index % rowsPerChunk
    switch record.scheme {
    case .plain(let type):
      let rowBytes = columns * type.byteCount
      guard let bytes = run.slice(row * rowBytes, rowBytes) else { throw missingRow(index) }
      expandElements(bytes, type, into: out)
    case .grouped(let scheme):
      guard let shape = scheme.shape(rows: rows, columns: columns), (row + 1) * shape.bytesPerTile <= run.count else {
        throw missingRow(index)
      }
      expandQuantizedRows(
        row..<row + 1, of: run, tilesInRun: run.count / shape.bytesPerTile, shape: shape, coding: scheme.coding,
        multiplier: scheme.multiplier, into: out)
    }
  }

  private func missingRow(_ index: Int) -> GristError {
    GristError(
      .badData, "a row of the table is not in its chunk", file: file.path, tensor: record.name, found: "row \(index)",
      advice: "check the file with `gristmill inspect --check`")
  }
}
