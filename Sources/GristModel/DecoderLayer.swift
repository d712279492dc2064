import GristCore
import GristKernels
import GristSources
internal import RealModule

/// A weight matrix that the decoder asks for.
public struct DecoderMatrix: Sendable, Equatable {
  public let name: String
  public let rows: Int
  public let columns: Int

  /// The matrices of a layer, in the order in which they meet their inputs.
  enum Place: String, CaseIterable {
    case query = "self_attn.q_proj"
    case key = "self_attn.k_proj"
    case value = "self_attn.v_proj"
    case out = "self_attn.o_proj"
    case gate = "mlp.gate_proj"
    case up = "mlp.up_proj"
    case down = "mlp.down_proj"
  }

  init(_ place: Place, layer: Int, of configuration: ModelConfiguration) {
    let language = configuration.language
    let queryWidth = language.heads * language.headDimension
    let keyWidth = language.keyValueHeads * language.headDimension
    name = ModelConfiguration.languageLayerPrefix(layer) + place.rawValue + ".weight"
    (rows, columns) =
      switch place {
      case .query: (queryWidth, language.hiddenSize)
      case .key, .value: (keyWidth, language.hiddenSize)
      case .out: (language.hiddenSize, queryWidth)
      case .gate, .up: (language.intermediateSize, language.hiddenSize)
      case .down: (language.hiddenSize, language.intermediateSize)
      }
  }

  /// Those of one layer, in the order in which they meet their inputs; none behind the last layer.
  public static func all(ofLayer layer: Int, of configuration: ModelConfiguration) -> [DecoderMatrix] {
    layer < configuration.layers ? Place.allCases.map { DecoderMatrix($0, layer: layer, of: configuration) } : []
  }

  private init(name: String, rows: Int, columns: Int) {
    self.name = name
    self.rows = rows
    self.columns = columns
  }

  /// The matrix that makes logits of the last hidden state; the token embeddings where the model ties them.
  public static func head(of configuration: ModelConfiguration) -> DecoderMatrix {
    DecoderMatrix(
      name: configuration.tiesWordEmbeddings ? ModelConfiguration.tokenEmbeddingsName : ModelConfiguration.headName,
      rows: configuration.vocabularySize, columns: configuration.hiddenSize)
  }
}

extension ParameterStore {
  /// - Throws: 65 when the tensor is missing or has another shape.
  public func matrix(_ matrix: DecoderMatrix) throws -> any LinearWeights {
    try self.matrix(matrix.name, rows: matrix.rows, columns: matrix.columns)
  }
}

/// One layer's weights.
struct DecoderLayer: Sendable {
  let inputNorm: [Float]
  let query: any LinearWeights
  let key: any LinearWeights
  let value: any LinearWeights
  let out: any LinearWeights
  let attentionNorm: [Float]
  let gate: any LinearWeights
  let up: any LinearWeights
  let down: any LinearWeights

  init(_ store: some ParameterStore, layer: Int, _ configuration: ModelConfiguration) throws {
    func matrix(_ place: DecoderMatrix.Place) throws -> any LinearWeights {
      try store.matrix(DecoderMatrix(place, layer: layer, of: configuration))
    }
    let norms = DecoderNorms(store, configuration)
    inputNorm = try norms.input(layer)
    query = try matrix(.query)
    key = try matrix(.key)
    value = try matrix(.value)
    out = try matrix(.out)
    attentionNorm = try norms.attention(layer)
    gate = try matrix(.gate)
    up = try matrix(.up)
    down = try matrix(.down)
  }

  var isQuantized: Bool { key.isQuantized }

  /// Those that meet their input together.
  func matrices(_ stage: DecoderWalk.Stage) -> [any LinearWeights] {
    switch stage {
    case .projections: [query, key, value]
    case .output: [out]
    case .gates: [gate, up]
    case .down: [down]
    }
  }
}

/// The decoder's norms, which a walk reads where it needs them.
struct DecoderNorms: Sendable {
  /// Before a layer's attention.
  let input: @Sendable (_ layer: Int) throws -> [Float]
  /// Behind it.
  let attention: @Sendable (_ layer: Int) throws -> [Float]
  /// Before the head.
  let final: @Sendable () throws -> [Float]

  /// Those of a store, read anew each time.
  init(_ store: any ParameterStore, _ configuration: ModelConfiguration) {
    let width = configuration.hiddenSize
    @Sendable func read(_ name: String, _ layer: Int) throws -> [Float] {
      try store.values(ModelConfiguration.languageLayerPrefix(layer) + name + ".weight", count: width)
    }
    input = { try read("input_layernorm", $0) }
    attention = { try read("post_attention_layernorm", $0) }
    final = { try store.values(ModelConfiguration.finalNormName, count: width) }
  }

  /// Those of layers that are held.
  init(_ layers: [Lazy<DecoderLayer>], final: [Float]) {
    input = { try layers[$0].get().inputNorm }
    attention = { try layers[$0].get().attentionNorm }
    self.final = { final }
  }
}

/// What a layer computes between its matrices.
struct DecoderArithmetic: Sendable {
  let heads: AttentionHeads
  private let epsilon: Float
  private let window: Int?
  private let frequencies: [Float]

  init(_ configuration: ModelConfiguration) {
    heads = configuration.attentionHeads
    epsilon = configuration.rmsNormEpsilon
    window = configuration.slidingWindow
    frequencies = configuration.rotary.inverseFrequencies(dimension: configuration.headDimension)
  }

  func norm(_ x: FloatMatrix, _ weight: [Float], _ compute: Compute) -> FloatMatrix {
    compute.rmsNorm(x, weight: weight, epsilon: epsilon)
  }

  /// Cosines and sines of rotary embedding, [positions, half a head] each.
  struct RotaryAngles {
    let cos: FloatMatrix
    let sin: FloatMatrix
  }

  /// Angles of rotary embedding, position · frequency, computed in f32 as upstream does: at large positions the
  /// rounding of the product is part of the reference.
  func rotaryAngles(positions: Range<Int>) -> RotaryAngles {
    let angles = RotaryAngles(
      cos: FloatMatrix(rows: positions.count, columns: heads.dimension / 2),
      sin: FloatMatrix(rows: positions.count, columns: heads.dimension / 2))
    for (index, frequency) in frequencies.enumerated() {
      for (row, position) in positions.enumerated() {
        let angle = Float(position) * frequency
        angles.cos[row, index] = .cos(angle)
        angles.sin[row, index] = .sin(angle)
      }
    }
    return angles
  }

  /// What attention starts from, [rows, width] each.
  struct Projections {
    let queries: FloatMatrix
    let keys: FloatMatrix
    let values: FloatMatrix

    /// The products of rows with the matrices of ``DecoderWalk/Stage/projections``, in their order.
    init(_ rows: FloatMatrix, _ weights: [any LinearWeights], _ compute: Compute) {
      let products = compute.linear(rows, weights.map { ($0, nil) })
      (queries, keys, values) = (products[0], products[1], products[2])
    }
  }

  /// What rows attend to among themselves and what `cache` holds, to which their keys and values are added: from queries,
  /// keys and values [rows, width] each, which are turned in place, to [rows, query width].
  func attend(
    _ projections: Projections, _ cache: KeyValueCache, layer: Int, _ angles: RotaryAngles, mayNarrow: Bool,
    _ compute: Compute
  ) throws -> FloatMatrix {
    // An infinite score would only look like a token that nobody attends to.
    let query = projections.queries
    try compute.requireFinite(query, "queries")
    try compute.requireFinite(projections.keys, "keys")
    try compute.requireFinite(projections.values, "values")
    compute.rotate(query, headDimension: heads.dimension, cos: angles.cos, sin: angles.sin)
    compute.rotate(projections.keys, headDimension: heads.dimension, cos: angles.cos, sin: angles.sin)
    let (keys, values) = cache.store(layer: layer, keys: projections.keys, values: projections.values, compute)
    return compute.attention(
      queries: HeadRows(query, dimension: heads.dimension), keys: keys, values: values, heads: heads,
      queryLayout: .consecutive(sequences: 1, length: query.rows),
      keyLayout: .consecutive(sequences: 1, length: cache.count + query.rows), causalOffset: cache.count,
      window: window, mayNarrow: mayNarrow)
  }
}

extension ModelConfiguration {
  /// The decoder's attention heads.
  fileprivate var attentionHeads: AttentionHeads {
    AttentionHeads(count: language.heads, keyValueCount: language.keyValueHeads, dimension: language.headDimension)
  }
}
