import GristCore
import GristKernels
import GristSources

/// The decoder's forward pass, the only one there is: generation, calibration and measuring are uses of it.
///
/// Rows of one or many sequences go through it layer by layer and, inside a layer, matrix by matrix. Before every
/// product it stands still, so that what enters the matrices can be looked at and the weights be chosen that it goes on
/// with. No more than one stage's weights are needed at a time. What a sequence attends to is kept in a cache for what
/// comes after it, or forgotten when its rows have gone through the layer.
///
/// Beside weights it holds three or four matrices as wide as the model for all rows of all sequences together, and one
/// as wide as a feed-forward layer.
package final class DecoderWalk {
  /// What stands between two stops: matrices that share an input.
  enum Stage: CaseIterable {
    case projections, output, gates, down

    /// How many of a layer's matrices are met here.
    var matrixCount: Int {
      switch self {
      case .projections: 3
      case .gates: 2
      case .output, .down: 1
      }
    }

    /// Those of a layer's matrices that are met here.
    func matrices(of layer: DecoderLayerTensors) -> [ExpectedTensor] {
      switch self {
      case .projections: [layer.query, layer.key, layer.value]
      case .output: [layer.out]
      case .gates: [layer.gate, layer.up]
      case .down: [layer.down]
      }
    }
  }

  /// Layers that are behind; all of them once only the head is left.
  package private(set) var layer: Int
  package let layers: Int
  /// What meets the matrices of a layer's stage; nil before a layer and at the head until it is asked for.
  private var stageInput: FloatMatrix?
  private var stage = Stage.projections
  private let x: FloatMatrix
  private let sequences: [Range<Int>]
  /// Of each sequence, what it attends to beside its own rows; empty where nothing is kept.
  private let kept: [KeptRows]
  private let norms: DecoderNorms
  private let configuration: ModelConfiguration
  private let arithmetic: DecoderArithmetic
  private let path: String
  package let compute: Compute
  /// Rows whose gates are computed together.
  private static let blockRows = 512

  /// A walk of many sequences, none of which goes on after it.
  ///
  /// - Parameters:
  ///   - rows: of all sequences, [rows, hidden size], as they enter layer `layer`; becomes the walk's own.
  ///   - lengths: rows of each sequence.
  ///   - layer: the first that is walked through.
  ///   - configuration: the model's.
  ///   - store: where norms are read.
  ///   - compute: computes.
  ///
  /// - Throws: What reading the weights throws, 65 when rows, lengths and the configuration do not go together.
  package convenience init(
    rows: FloatMatrix, lengths: [Int], layer: Int = 0, configuration: ModelConfiguration, store: any ParameterStore,
    compute: Compute
  ) throws {
    try self.init(
      rows, lengths: lengths, layer: layer, configuration, arithmetic: DecoderArithmetic(configuration),
      norms: DecoderNorms(store, configuration.language), path: store.path, compute)
  }

  /// What a sequence attends to, to which its keys and values are added.
  struct KeptRows {
    let cache: KeyValueCache
    /// Rows of the cache that stand before the sequence's first.
    let position: Int
    /// Of the sequence's rows, the same in every layer.
    fileprivate let angles: DecoderArithmetic.RotaryAngles

    /// Of `rows` rows behind those that the cache has, but for `skipped`.
    init(_ cache: KeyValueCache, skipping skipped: Int = 0, rows: Int, _ arithmetic: DecoderArithmetic) {
      self.cache = cache
      position = cache.count + skipped
      angles = arithmetic.rotaryAngles(positions: position..<position + rows)
    }
  }

  /// - Parameter kept: of each sequence, what it attends to; empty where none goes on after the walk.
  init(
    _ rows: FloatMatrix, lengths: [Int], layer: Int = 0, _ configuration: ModelConfiguration,
    arithmetic: DecoderArithmetic, norms: DecoderNorms, kept: [KeptRows] = [], path: String, _ compute: Compute
  ) throws {
    guard rows.columns == configuration.hiddenSize, rows.rows == lengths.reduce(0, +), layer <= configuration.layers,
      kept.isEmpty || lengths.count == kept.count
    else {
      throw GristError(
        .badData, "rows that do not go with the model", file: path, found: "\(rows.rows) × \(rows.columns)")
    }
    var ranges: [Range<Int>] = []
    for length in lengths {
      let start = ranges.last?.upperBound ?? 0
      ranges.append(start..<start + length)
    }
    x = rows
    sequences = ranges
    self.layer = layer
    self.kept = kept
    self.norms = norms
    self.configuration = configuration
    self.compute = compute
    self.path = path
    self.arithmetic = arithmetic
    layers = configuration.layers
  }

  /// What meets ``matrices``: [rows of all sequences, columns].
  ///
  /// - Throws: Before a layer and at the head, what reading its norm throws.
  package func input() throws -> FloatMatrix {
    if let stageInput { return stageInput }
    let normed = arithmetic.norm(x, try isAtHead ? norms.final() : norms.input(layer), compute)
    stageInput = normed
    return normed
  }

  /// The last row behind the last norm, [1, hidden size]. At the head.
  func lastInput() throws -> FloatMatrix { try finalInputs(x.rows - 1..<x.rows) }

  /// Some rows behind the last norm, [rows, hidden size]. At the head.
  ///
  /// - Precondition: They are there.
  func finalInputs(_ rows: Range<Int>) throws -> FloatMatrix {
    arithmetic.norm(x.copy(rows: rows), try norms.final(), compute)
  }

  /// The rows as they enter the layer; to be looked at where a layer begins.
  package var rows: FloatMatrix { x }

  /// The matrices that ``input()`` meets; at last the head alone.
  package var matrices: [ExpectedTensor] {
    layer == layers
      ? [configuration.language.output] : stage.matrices(of: DecoderLayerTensors(layer, configuration.language))
  }

  /// Every matrix that ``matrices`` will be, in order; a head that is the token embeddings too is not among them.
  package var allMatrices: [ExpectedTensor] {
    (0..<layers).flatMap(matrices(ofLayer:)) + (configuration.tiesWordEmbeddings ? [] : [configuration.language.head])
  }

  /// Those of one layer, in the order in which they meet their inputs; none behind the last.
  package func matrices(ofLayer layer: Int) -> [ExpectedTensor] {
    layer < layers ? DecoderLayerTensors(layer, configuration.language).matrices : []
  }

  /// Whether only the head is left.
  package var isAtHead: Bool { layer == layers }

  /// Multiplies and goes on to the next stop; `weights` are those of ``matrices``, in their order. Not at the head.
  ///
  /// - Precondition: The walk is not at the head, and there are as many weights as ``matrices``.
  /// - Throws: 65 when a value is not finite, 130 when interrupted.
  package func advance(_ weights: [any LinearWeights]) throws {
    precondition(!isAtHead && weights.count == stage.matrixCount)
    try Interruption.check()
    try locating(file: path) {
      try compute.inPart("language layer \(layer)") { try multiply(weights) }
    }
  }

  /// Goes through the layer that it stands before.
  ///
  /// - Precondition: The walk stands before a layer.
  /// - Throws: 65 when a value is not finite, 130 when interrupted.
  func advance(through layer: DecoderLayer) throws {
    precondition(stage == .projections)
    for stage in Stage.allCases { try advance(layer.matrices(stage)) }
  }

  private func multiply(_ weights: [any LinearWeights]) throws {
    let input = try input()
    switch stage {
    case .projections:
      stageInput = try attend(input, weights)
      stage = .output
    case .output:
      compute.add(compute.linear(input, weights[0]), to: x)
      stageInput = arithmetic.norm(x, try norms.attention(layer), compute)
      stage = .gates
    case .gates:
      stageInput = gate(input, weights)
      stage = .down
    case .down:
      compute.add(compute.linear(input, weights[0]), to: x)
      try compute.requireFinite(x, "output")
      layer += 1
      stage = .projections
      // Not made before it is needed: many walks may stand before a layer together.
      stageInput = nil
    }
  }

  /// Each sequence's rows among themselves, and what its cache holds.
  private func attend(_ input: FloatMatrix, _ weights: [any LinearWeights]) throws -> FloatMatrix {
    let isQuantized = weights[1].isQuantized
    func attend(
      _ projections: DecoderArithmetic.Projections, _ cache: KeyValueCache, layer: Int, position: Int,
      _ angles: DecoderArithmetic.RotaryAngles
    ) throws -> FloatMatrix {
      try arithmetic.attend(
        projections, cache, layer: layer, position: position, angles,
        mayNarrow: compute.mayNarrow(isQuantized: isQuantized), compute)
    }
    guard kept.isEmpty else {
      // Rows of all sequences meet the matrices together, and attend each to its own.
      let all = DecoderArithmetic.Projections(input, weights, compute)
      let attended = try zip(sequences, kept).map { sequence, item in
        try attend(
          kept.count == 1 ? all : all.of(rows: sequence), item.cache, layer: layer, position: item.position, item.angles
        )
      }
      return attended.count == 1 ? attended[0] : FloatMatrix(stacking: attended)
    }
    let result = FloatMatrix(rows: input.rows, columns: weights[0].rows)
    let precision = compute.cachePrecision(isQuantized: isQuantized)
    for sequence in sequences where !sequence.isEmpty {
      try Interruption.check()
      let cache = KeyValueCache(
        layers: 1, heads: arithmetic.heads, capacity: sequence.count, precision: precision)
      let projections = DecoderArithmetic.Projections(input.copy(rows: sequence), weights, compute)
      let attended = try attend(
        projections, cache, layer: 0, position: 0, arithmetic.rotaryAngles(positions: 0..<sequence.count))
      result.copyRows(0..<sequence.count, of: attended, toRow: sequence.lowerBound)
    }
    return result
  }

  private func gate(_ input: FloatMatrix, _ weights: [any LinearWeights]) -> FloatMatrix {
    func gated(_ rows: FloatMatrix) -> FloatMatrix {
      let gated = compute.linear(rows, weights.map { ($0, nil) })
      compute.siluMultiply(gate: gated[0], up: gated[1])
      return gated[0]
    }
    guard input.rows > Self.blockRows else { return gated(input) }
    let result = FloatMatrix(rows: input.rows, columns: weights[0].rows)
    for start in stride(from: 0, to: input.rows, by: Self.blockRows) {
      let rows = start..<min(start + Self.blockRows, input.rows)
      result.copyRows(0..<rows.count, of: gated(input.copy(rows: rows)), toRow: start)
    }
    return result
  }
}
