import GristCore
import GristFormat
import GristKernels
import GristSources

/// Weights from a `.grist` file: raw chunks in place, packed ones unpacked into memory of their own, in parallel, when
/// a weight is first asked for.
struct GristParameters: ParameterStore {
  let source: Source
  private let file: GristFile
  private let pool: ThreadPool
  /// Who reads the weights where a budget is to be kept; nil where they are mapped.
  private let residency: Residency?

  init(_ file: GristFile, of source: Source, pool: ThreadPool, residency: Residency? = nil) {
    self.file = file
    self.source = source
    self.pool = pool
    self.residency = residency
  }

  private func record(_ name: String, _ expected: [Int]) throws -> TensorRecord {
    guard let record = file.tensor(named: name) else { throw missing(name) }
    let matches =
      expected.count == 1
      ? elementCount(of: record.shape) == expected[0]
      : matrixExtents(record.shape).map { [$0.rows, $0.columns] } == expected
    guard matches else { throw wrongShape(name, expected: expected, found: record.shape) }
    if case .unknown(let scheme) = record.scheme { throw scheme.error(file: path, tensor: name) }
    return record
  }

  private func payloads(_ record: TensorRecord) throws -> [Bytes] {
    if let residency { return try residency.runs(of: StoredTensor(record, in: file)) }
    return try pool.map(record.chunks.count) { index in
      let chunk = record.chunks.first + index
      let payload = try file.payload(ofChunk: chunk)
      // What was unpacked stands in memory of its own; the packed pages need not stay beside it.
      if !file.isRaw(chunk: chunk) { file.release(chunk: chunk) }
      return payload
    }
  }

  func matrix(_ name: String, rows: Int, columns: Int) throws -> any LinearWeights {
    let record = try record(name, [rows, columns])
    if residency == nil { file.readWhole(record.chunks) }
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
    case .unknown: weights = nil
    }
    guard let weights else {
      throw GristError(
        .badData, "the model cannot compute with this tensor's scheme", file: path, tensor: name,
        found: record.scheme.name)
    }
    return weights
  }

  func embedding(_ name: String, rows: Int, columns: Int) throws -> any EmbeddingTable {
    let record = try record(name, [rows, columns])
    if case .grouped(let scheme) = record.scheme, scheme.layout == .tile16 {
      return MatrixTable(weights: try matrix(name, rows: rows, columns: columns))
    }
    let file = file
    if let residency {
      let table = StoredTensor(record, in: file)
      return RowTable(
        scheme: record.scheme, rows: rows, columns: columns, rowsPerRun: record.chunks.unitsPerChunk, path: path,
        name: record.name
      ) { try residency.run($0, ofTable: table) }
    }
    // It stays in the file: a row's chunk is small, and unpacked for the purpose.
    return RowTable(
      scheme: record.scheme, rows: rows, columns: columns, rowsPerRun: record.chunks.unitsPerChunk, path: path,
      name: record.name
    ) { try file.payload(ofChunk: record.chunks.first + $0) }
  }

  func values(_ name: String, count: Int) throws -> [Float] {
    let record = try record(name, [count])
    guard case .plain(let type) = record.scheme, type.isFloatingPoint else {
      throw GristError(
        .badData, "the model cannot compute with this tensor's scheme", file: path, tensor: name,
        found: record.scheme.name)
    }
    return try payloads(record).flatMap { floats($0, type) }
  }

  func has(_ name: String) -> Bool { file.tensor(named: name) != nil }

  func keeps(_ tensor: ExpectedTensor) -> Bool { residency?.keeps(tensor.name, tensor.part) ?? true }

  func release(_ name: String) {
    guard residency == nil, let record = file.tensor(named: name) else { return }
    for chunk in record.chunks.range where file.isRaw(chunk: chunk) { file.release(chunk: chunk) }
  }
}
