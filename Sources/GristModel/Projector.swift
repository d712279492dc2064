import GristCheckpoints
import GristFamilies
import GristKernels

/// Linear layers with exact GELUs between them: from the tower's width to the language model's.
struct Projector: Sendable {
  private let layers: [BiasedLinear]
  /// The embedding that ends a row of patches; empty when the model has none.
  let newline: [Float]

  init(_ store: some ParameterStore, _ configuration: ModelConfiguration, towerWidth: Int) throws {
    layers = try (0..<configuration.projectorDepth).map { index in
      let name = String(configuration.projectorPrefix(index).dropLast())
      return try BiasedLinear(
        store, name, rows: configuration.hiddenSize, columns: index == 0 ? towerWidth : configuration.hiddenSize)
    }
    newline =
      configuration.patchMerge == .spatial(unpad: true)
      ? try store.values(ModelConfiguration.imageNewlineName, count: configuration.hiddenSize) : []
  }

  /// Throws 65 when a result is not finite.
  func callAsFunction(_ features: FloatMatrix, _ compute: Compute) throws -> FloatMatrix {
    var x = features
    for (index, layer) in layers.enumerated() {
      if index > 0 { compute.apply(.gelu, to: x) }
      x = layer(x, compute)
      try compute.inPart("the projector") { try compute.requireFinite(x, "layer \(index)") }
    }
    return x
  }
}
