import GristKernels
import GristSources

/// Linear layers with exact GELUs between them: from the tower's width to the language model's.
struct Projector: Sendable {
  private let layers: [BiasedLinear]

  init(_ store: some ParameterStore, _ tensors: ProjectorTensors) throws {
    layers = try tensors.layers.map { try BiasedLinear(store, $0) }
  }

  /// Rows that go through together: what lies between the layers of a whole picture would be memory that nothing else
  /// uses.
  private static let blockRows = 1024

  /// - Throws: 65 when a result is not finite.
  func callAsFunction(_ features: FloatMatrix, _ compute: Compute) throws -> FloatMatrix {
    guard let last = layers.last, features.rows > Self.blockRows else { return try project(features, compute) }
    let out = FloatMatrix(uninitializedRows: features.rows, columns: last.weights.rows)
    for start in stride(from: 0, to: features.rows, by: Self.blockRows) {
      let rows = start..<min(start + Self.blockRows, features.rows)
      out.copyRows(0..<rows.count, of: try project(features.copy(rows: rows), compute), toRow: start)
    }
    return out
  }

  private func project(_ features: FloatMatrix, _ compute: Compute) throws -> FloatMatrix {
    var x = features
    for (index, layer) in layers.enumerated() {
      if index > 0 { compute.apply(.gelu, to: x) }
      x = layer(x, compute)
      try compute.inPart("the projector") { try compute.requireFinite(x, "layer \(index)") }
    }
    return x
  }
}
