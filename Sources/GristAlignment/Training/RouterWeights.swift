import GristCore
import GristKernels
import GristModel
import GristSources

/// The tensors of AVG-LLaVA's router in f32, or numbers that belong to each of their values: gradients, moments.
package struct RouterWeights {
  package let routing: GranularityRouting
  /// In the order of ``GranularityRouting/tensors``: matrices as they are, vectors as one row.
  package let tensors: [FloatMatrix]

  /// The place of a layer's weight among the tensors; its bias follows.
  enum Layer: Int, CaseIterable {
    case attentionIn = 0
    case attentionOut = 2
    case norm1 = 4
    case linear1 = 6
    case linear2 = 8
    case norm2 = 10
    case hiddenLayer = 12
    case outputLayer = 14
    case norm = 17
  }

  private static let voterPlace = 16

  /// - Parameters:
  ///   - routing: what router it is.
  ///   - tensors: in the order of its tensors, matrices as they are, vectors as one row.
  package init(_ routing: GranularityRouting, _ tensors: [FloatMatrix]) {
    (self.routing, self.tensors) = (routing, tensors)
  }

  /// Zeros.
  package init(zerosFor routing: GranularityRouting) {
    self.init(
      routing,
      routing.tensors.map { tensor in
        let (rows, columns) = Self.extents(tensor)
        return FloatMatrix(rows: rows, columns: columns)
      })
  }

  /// A model's router as it is stored, quantized tensors expanded.
  ///
  /// - Throws: 65 when a tensor is missing, damaged or of another shape.
  init(_ source: Source, _ routing: GranularityRouting) throws {
    let stored = Dictionary(
      try source.tensors().map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
    self.init(
      routing,
      try routing.tensors.map { expected in
        guard let tensor = stored[ByteName(expected.name)], tensor.shape == expected.shape,
          tensor.elementType.isFloatingPoint
        else {
          throw GristError(
            .badData, "the router lacks a tensor, or it has another shape", file: source.path, tensor: expected.name,
            found: stored[ByteName(expected.name)].map { "\($0.shape)" } ?? "none",
            advice: "train the router from the beginning")
        }
        let (rows, columns) = Self.extents(expected)
        return FloatMatrix(rows: rows, columns: columns, values: floats(try tensor.bytes(), tensor.elementType))
      })
  }

  /// A router before any training, as PyTorch and upstream begin: see ``RouterInitialization``.
  package init(beginning routing: GranularityRouting, seed: UInt64) {
    var generator = RouterInitialization(seed: seed)
    self.init(
      routing,
      routing.tensors.enumerated().map { place, tensor in
        let (rows, columns) = Self.extents(tensor)
        return FloatMatrix(rows: rows, columns: columns, values: generator.values(at: place, of: routing))
      })
  }

  private static func extents(_ tensor: ExpectedTensor) -> (rows: Int, columns: Int) {
    tensor.columns == 1 ? (1, tensor.rows) : (tensor.rows, tensor.columns)
  }

  func weight(_ layer: Layer) -> FloatMatrix { tensors[layer.rawValue] }
  func bias(_ layer: Layer) -> FloatMatrix { tensors[layer.rawValue + 1] }
  /// One weight for each row that the router sees, [1, rows].
  package var voter: FloatMatrix { tensors[Self.voterPlace] }

  var count: Int { tensors.reduce(0) { $0 + $1.count } }

  func setToZero() {
    for tensor in tensors {
      tensor.withMutableRows { row in for index in 0..<tensor.rows { row(index).update(repeating: 0) } }
    }
  }
}
