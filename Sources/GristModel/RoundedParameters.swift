import GristCore
import GristKernels
import GristSources

/// A model's weights rounded to another type.
public struct RoundedParameters: ParameterStore {
  private let base: any ParameterStore
  private let rounding: Compute.Rounding

  public init(_ base: any ParameterStore, _ rounding: Compute.Rounding) {
    self.base = base
    self.rounding = rounding
  }

  public var path: String { base.path }
  public var choices: ConfigurationChoices { base.choices }

  public func matrix(_ name: String, rows: Int, columns: Int) throws -> any LinearWeights {
    RoundedWeights(try base.matrix(name, rows: rows, columns: columns), rounding)
  }

  public func embedding(_ name: String, rows: Int, columns: Int) throws -> any EmbeddingTable {
    RoundedTable(base: try base.embedding(name, rows: rows, columns: columns), rounding: rounding)
  }

  public func values(_ name: String, count: Int) throws -> [Float] {
    try base.values(name, count: count).map { rounding($0) }
  }

  public func has(_ name: String) -> Bool { base.has(name) }

  public func sideFile(named name: String) throws -> Bytes? { try base.sideFile(named: name) }

  public func release(_ name: String) { base.release(name) }
}

private struct RoundedTable: EmbeddingTable {
  let base: any EmbeddingTable
  let rounding: Compute.Rounding
  var rows: Int { base.rows }

  func copyRow(_ index: Int, into out: UnsafeMutableBufferPointer<Float>) throws {
    try base.copyRow(index, into: out)
    for column in out.indices { out[column] = rounding(out[column]) }
  }
}
