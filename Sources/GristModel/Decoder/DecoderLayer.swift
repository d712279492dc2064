import GristCore
import GristKernels
import GristSources
internal import RealModule

/// One layer's matrices.
struct DecoderLayer: Sendable {
  let query: any LinearWeights
  let key: any LinearWeights
  let value: any LinearWeights
  let out: any LinearWeights
  let gate: any LinearWeights
  let up: any LinearWeights
  let down: any LinearWeights

  init(_ store: some ParameterStore, _ tensors: DecoderLayerTensors) throws {
    query = try store.matrix(tensors.query)
    key = try store.matrix(tensors.key)
    value = try store.matrix(tensors.value)
    out = try store.matrix(tensors.out)
    gate = try store.matrix(tensors.gate)
    up = try store.matrix(tensors.up)
    down = try store.matrix(tensors.down)
  }

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
  init(_ store: any ParameterStore, _ language: LanguageConfiguration) {
    input = { try store.values(DecoderLayerTensors($0, language).inputNorm) }
    attention = { try store.values(DecoderLayerTensors($0, language).attentionNorm) }
    final = { try store.values(language.finalNorm) }
  }

  /// Those of a store, held once they were read.
  ///
  /// - Throws: What reading the last one throws.
  init(holding store: any ParameterStore, _ language: LanguageConfiguration) throws {
    let layers = (0..<language.layers).map { layer in
      Lazy {
        let tensors = DecoderLayerTensors(layer, language)
        return (input: try store.values(tensors.inputNorm), attention: try store.values(tensors.attentionNorm))
      }
    }
    let last = try store.values(language.finalNorm)
    input = { try layers[$0].get().input }
    attention = { try layers[$0].get().attention }
    final = { last }
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

    private init(_ queries: FloatMatrix, _ keys: FloatMatrix, _ values: FloatMatrix) {
      (self.queries, self.keys, self.values) = (queries, keys, values)
    }

    /// Those of some of the rows.
    func of(rows: Range<Int>) -> Projections {
      Projections(queries.copy(rows: rows), keys.copy(rows: rows), values.copy(rows: rows))
    }
  }

  /// What rows attend to among themselves and the first `position` that `cache` holds, behind which their keys and
  /// values are put: from queries, keys and values [rows, width] each, which are turned in place, to [rows, query
  /// width].
  func attend(
    _ projections: Projections, _ cache: KeyValueCache, layer: Int, position: Int, _ angles: RotaryAngles,
    mayNarrow: Bool, _ compute: Compute
  ) throws -> FloatMatrix {
    // An infinite score would only look like a token that nobody attends to.
    let query = projections.queries
    try compute.requireFinite(query, "queries")
    try compute.requireFinite(projections.keys, "keys")
    try compute.requireFinite(projections.values, "values")
    compute.rotate(query, headDimension: heads.dimension, cos: angles.cos, sin: angles.sin)
    compute.rotate(projections.keys, headDimension: heads.dimension, cos: angles.cos, sin: angles.sin)
    let (keys, values) = cache.store(
      layer: layer, keys: projections.keys, values: projections.values, at: position, compute)
    return compute.attention(
      queries: HeadRows(query, dimension: heads.dimension), keys: keys, values: values, heads: heads,
      queryLayout: .consecutive(sequences: 1, length: query.rows),
      keyLayout: .consecutive(sequences: 1, length: position + query.rows), causalOffset: position,
      window: window, mayNarrow: mayNarrow)
  }
}

extension ModelConfiguration {
  /// The decoder's attention heads.
  var attentionHeads: AttentionHeads {
    AttentionHeads(count: language.heads, keyValueCount: language.keyValueHeads, dimension: language.headDimension)
  }
}
