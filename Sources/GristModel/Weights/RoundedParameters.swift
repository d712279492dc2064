import GristCore
import GristKernels
import GristSources

/// A model's weights rounded to another type.
package struct RoundedParameters: ParameterDecorator {
  package let base: any ParameterStore
  private let rounding: Compute.Rounding

  package init(_ base: any ParameterStore, _ rounding: Compute.Rounding) {
    self.base = base
    self.rounding = rounding
  }

  package func matrix(_ name: String, rows: Int, columns: Int) throws -> any LinearWeights {
    RoundedWeights(try base.matrix(name, rows: rows, columns: columns), rounding)
  }

  package func embedding(_ name: String, rows: Int, columns: Int) throws -> any EmbeddingTable {
    RoundedTable(base: try base.embedding(name, rows: rows, columns: columns), rounding: rounding)
  }

  package func values(_ name: String, count: Int) throws -> [Float] {
    try base.values(name, count: count).map { rounding($0) }
  }

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
