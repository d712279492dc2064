import GristCore
import GristKernels
import GristModel
import GristSources
internal import RealModule

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

/// How a new router's values are drawn: linear layers as PyTorch's `Linear` and `MultiheadAttention` do, norms as they
/// are neutral, and upstream's voter, for which all rows of the picture together weigh as much as half of the text.
struct RouterInitialization {
  private var generator: SplitMix64

  init(seed: UInt64) { generator = SplitMix64(state: seed) }

  /// The values of the tensor that stands at a place of ``GranularityRouting/tensors``.
  mutating func values(at place: Int, of routing: GranularityRouting) -> [Float] {
    let tensor = routing.tensors[place]
    let bound = 1 / Double(routing.width).squareRoot()
    switch place {
    // Xavier's uniform distribution, over the three projections together.
    case 0: return uniform(tensor.count, within: (6 / Double(tensor.rows + tensor.columns)).squareRoot())
    case 1, 3: return [Float](repeating: 0, count: tensor.count)
    case 4, 10, 17: return [Float](repeating: 1, count: tensor.count)
    case 5, 11, 18: return [Float](repeating: 0, count: tensor.count)
    case 16:
      let visual = routing.granularities.reduce(0, +)
      return normal(visual, mean: 1 / Double(visual), deviation: 1e-3)
        + normal(tensor.count - visual, mean: 2 / Double(max(routing.filteredTextTokens, 1)), deviation: 1e-2)
    default: return uniform(tensor.count, within: bound)
    }
  }

  private mutating func uniform(_ count: Int, within bound: Double) -> [Float] {
    (0..<count).map { _ in Float(Double.random(in: -bound..<bound, using: &generator)) }
  }

  private mutating func normal(_ count: Int, mean: Double, deviation: Double) -> [Float] {
    (0..<count).map { _ in Float(mean + deviation * standardNormal()) }
  }

  /// A normally distributed number (Box & Muller 1958).
  private mutating func standardNormal() -> Double {
    let radius = (-2 * Double.log(1 - Double.random(in: 0..<1, using: &generator))).squareRoot()
    return radius * .cos(2 * .pi * Double.random(in: 0..<1, using: &generator))
  }
}
