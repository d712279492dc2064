import GristCore
import GristKernels
import GristSources

/// The decoder run over many prompts at once, layer by layer and, inside a layer, matrix by matrix: before every product it
/// stands still, so that what enters the matrices can be looked at and the weights be chosen that it goes on with. No
/// more than one stage's weights are needed at a time.
///
/// Beside those it holds three or four matrices as wide as the model for all rows of all prompts together, and one as
/// wide as a feed-forward layer.
public final class DecoderWalk {
  /// What stands between two stops: matrices that share an input.
  private enum Stage: CaseIterable {
    case projections, output, gates, down

    var places: [DecoderMatrix.Place] {
      switch self {
      case .projections: [.query, .key, .value]
      case .output: [.out]
      case .gates: [.gate, .up]
      case .down: [.down]
      }
    }
  }

  /// Layers that are behind; all of them once only the head is left.
  public private(set) var layer: Int
  public let layers: Int
  /// What meets ``matrices``: [rows of all prompts, columns].
  public private(set) var input: FloatMatrix
  private var stage = Stage.projections
  private let x: FloatMatrix
  private let prompts: [Range<Int>]
  private let store: any ParameterStore
  private let configuration: ModelConfiguration
  private let arithmetic: DecoderArithmetic
  public let compute: Compute
  /// Rows whose gates are computed together.
  private static let blockRows = 512

  /// - Parameters:
  ///   - rows: of all prompts, [rows, hidden size], as they enter layer `layer`; becomes the walk's own.
  ///   - lengths: rows of each prompt.
  ///   - layer: the first that is walked through.
  ///   - configuration: the model's.
  ///   - store: where norms are read.
  ///   - compute: computes.
  ///
  /// - Throws: What reading the weights throws, 65 when rows, lengths and the configuration do not go together.
  public init(
    rows: FloatMatrix, lengths: [Int], layer: Int = 0, configuration: ModelConfiguration, store: any ParameterStore,
    compute: Compute
  ) throws {
    guard rows.columns == configuration.hiddenSize, rows.rows == lengths.reduce(0, +), layer <= configuration.layers
    else {
      throw GristError(
        .badData, "rows that do not go with the model", file: store.path, found: "\(rows.rows) × \(rows.columns)")
    }
    var ranges: [Range<Int>] = []
    for length in lengths {
      let start = ranges.last?.upperBound ?? 0
      ranges.append(start..<start + length)
    }
    x = rows
    prompts = ranges
    self.layer = layer
    self.store = store
    self.configuration = configuration
    self.compute = compute
    arithmetic = DecoderArithmetic(configuration)
    layers = configuration.layers
    input = x
    try enterLayer()
  }

  /// The rows as they enter the layer; to be looked at where a layer begins.
  public var rows: FloatMatrix { x }

  /// The matrices that ``input`` meets; at last the head alone.
  public var matrices: [DecoderMatrix] {
    layer == layers
      ? [.head(of: configuration)] : stage.places.map { DecoderMatrix($0, layer: layer, of: configuration) }
  }

  /// Every matrix that ``matrices`` will be, in order; a head that is the token embeddings too is not among them.
  public var allMatrices: [DecoderMatrix] {
    (0..<layers).flatMap(matrices(ofLayer:)) + (configuration.tiesWordEmbeddings ? [] : [.head(of: configuration)])
  }

  /// Those of one layer; of none behind the last.
  public func matrices(ofLayer layer: Int) -> [DecoderMatrix] {
    DecoderMatrix.all(ofLayer: layer, of: configuration)
  }

  /// Whether only the head is left.
  public var isAtHead: Bool { layer == layers }

  /// Multiplies and goes on to the next stop; `weights` are those of ``matrices``, in their order. Not at the head.
  ///
  /// - Precondition: The walk is not at the head, and there are as many weights as ``matrices``.
  /// - Throws: 65 when a value is not finite, 130 when interrupted.
  public func advance(_ weights: [any LinearWeights]) throws {
    precondition(!isAtHead && weights.count == matrices.count)
    try Interruption.check()
    try locating(file: store.path) {
      try compute.inPart("language layer \(layer)") { try multiply(weights) }
    }
  }

  private func multiply(_ weights: [any LinearWeights]) throws {
    switch stage {
    case .projections:
      input = try attend(weights)
      stage = .output
    case .output:
      compute.add(compute.linear(input, weights[0]), to: x)
      let weight = try DecoderLayer.attentionNorm(store, layer: layer, configuration)
      input = arithmetic.norm(x, weight, compute)
      stage = .gates
    case .gates:
      input = gate(weights)
      stage = .down
    case .down:
      compute.add(compute.linear(input, weights[0]), to: x)
      try compute.requireFinite(x, "output")
      layer += 1
      stage = .projections
      try enterLayer()
    }
  }

  private func enterLayer() throws {
    let weight =
      isAtHead
      ? try store.values(ModelConfiguration.finalNormName, count: configuration.hiddenSize)
      : try DecoderLayer.inputNorm(store, layer: layer, configuration)
    input = arithmetic.norm(x, weight, compute)
  }

  /// Each prompt's rows among themselves.
  private func attend(_ weights: [any LinearWeights]) throws -> FloatMatrix {
    let result = FloatMatrix(rows: input.rows, columns: weights[0].rows)
    let isQuantized = weights[1].isQuantized
    let precision = compute.cachePrecision(isQuantized: isQuantized)
    for prompt in prompts where !prompt.isEmpty {
      try Interruption.check()
      let projected = compute.linear(input.copy(rows: prompt), weights.map { ($0, nil) })
      let cache = KeyValueCache(
        layers: 1, heads: arithmetic.heads, capacity: prompt.count, precision: precision)
      let attended = try arithmetic.attend(
        projected, cache, layer: 0, arithmetic.rotaryAngles(positions: 0..<prompt.count),
        mayNarrow: compute.mayNarrow(isQuantized: isQuantized), compute)
      result.copyRows(0..<prompt.count, of: attended, toRow: prompt.lowerBound)
    }
    return result
  }

  private func gate(_ weights: [any LinearWeights]) -> FloatMatrix {
    let result = FloatMatrix(rows: input.rows, columns: weights[0].rows)
    for start in stride(from: 0, to: input.rows, by: Self.blockRows) {
      let rows = start..<min(start + Self.blockRows, input.rows)
      let gated = compute.linear(input.copy(rows: rows), weights.map { ($0, nil) })
      compute.siluMultiply(gate: gated[0], up: gated[1])
      result.copyRows(0..<rows.count, of: gated[0], toRow: start)
    }
    return result
  }
}
