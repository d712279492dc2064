import GristCore
import GristKernels
import GristSources

/// A reference's weights, but for some tensors that are another model's.
package struct MixedParameters: ParameterStore {
  private let reference: any ParameterStore
  private let model: any ParameterStore
  /// Names of the tensors that are the model's.
  private let names: Set<ByteName>
  package let path: String

  /// - Parameters:
  ///   - reference: whose configuration counts, too.
  ///   - model: of the same configuration.
  ///   - names: of the tensors that are the model's.
  ///   - path: what is found fault with.
  package init(
    reference: any ParameterStore, model: any ParameterStore, names: Set<ByteName>, path: String
  ) {
    (self.reference, self.model, self.names, self.path) = (reference, model, names, path)
  }

  package var source: Source { reference.source }

  private func store(_ name: String) -> any ParameterStore { names.contains(ByteName(name)) ? model : reference }

  package func matrix(_ name: String, rows: Int, columns: Int) throws -> any LinearWeights {
    try store(name).matrix(name, rows: rows, columns: columns)
  }

  package func embedding(_ name: String, rows: Int, columns: Int) throws -> any EmbeddingTable {
    try store(name).embedding(name, rows: rows, columns: columns)
  }

  package func values(_ name: String, count: Int) throws -> [Float] { try store(name).values(name, count: count) }

  package func has(_ name: String) -> Bool { store(name).has(name) }

  package func keeps(_ tensor: ExpectedTensor) -> Bool { store(tensor.name).keeps(tensor) }
}
