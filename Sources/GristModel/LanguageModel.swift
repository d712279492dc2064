import GristCheckpoints
import GristCore
import GristKernels

/// The LLaMA decoder: RMSNorm, rotary attention with a cache, SwiGLU.
struct LanguageModel: Sendable {
  private let configuration: ModelConfiguration
  private let layers: [Lazy<Layer>]
  private let finalNorm: [Float]
  private let head: Lazy<any LinearWeights>

  struct Layer: Sendable {
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
      let prefix = ModelConfiguration.languageLayerPrefix(layer)
      let hidden = configuration.hiddenSize
      let queryWidth = configuration.heads * configuration.headDimension
      let keyWidth = configuration.keyValueHeads * configuration.headDimension
      func matrix(_ name: String, _ rows: Int, _ columns: Int) throws -> any LinearWeights {
        try store.matrix(prefix + name + ".weight", rows: rows, columns: columns)
      }
      inputNorm = try store.values(prefix + "input_layernorm.weight", count: hidden)
      query = try matrix("self_attn.q_proj", queryWidth, hidden)
      key = try matrix("self_attn.k_proj", keyWidth, hidden)
      value = try matrix("self_attn.v_proj", keyWidth, hidden)
      out = try matrix("self_attn.o_proj", hidden, queryWidth)
      attentionNorm = try store.values(prefix + "post_attention_layernorm.weight", count: hidden)
      gate = try matrix("mlp.gate_proj", configuration.intermediateSize, hidden)
      up = try matrix("mlp.up_proj", configuration.intermediateSize, hidden)
      down = try matrix("mlp.down_proj", hidden, configuration.intermediateSize)
    }
  }

  init(_ store: some ParameterStore, _ configuration: ModelConfiguration) throws {
    self.configuration = configuration
    layers = (0..<configuration.layers).map { layer in
      Lazy { try Layer(store, layer: layer, configuration) }
    }
    finalNorm = try store.values(ModelConfiguration.finalNormName, count: configuration.hiddenSize)
    head = Lazy {
      try store.matrix(
        configuration.tiesWordEmbeddings ? ModelConfiguration.tokenEmbeddingsName : ModelConfiguration.headName,
        rows: configuration.vocabularySize, columns: configuration.hiddenSize)
    }
  }

  /// Runs rows [tokens, hidden] that follow what `cache` holds, and appends them to it. The rows are overwritten.
  /// Returns the last row's logits, one a vocabulary entry.
  func logits(_ rows: FloatMatrix, cache: KeyValueCache, _ compute: Compute) throws -> [Float] {
    precondition(rows.columns == configuration.hiddenSize && rows.rows > 0)
    precondition(cache.count + rows.rows <= cache.capacity)
    let (cos, sin) = rotaryTables(positions: cache.count..<cache.count + rows.rows)
    for (index, layer) in layers.enumerated() {
      try run(layer.get(), rows, cache, index, cos: cos, sin: sin, compute)
    }
    cache.advance(by: rows.rows)
    let last = rows.copy(rows: rows.rows - 1..<rows.rows)
    let normed = compute.rmsNorm(last, weight: finalNorm, epsilon: configuration.rmsNormEpsilon)
    return compute.linear(normed, try head.get()).row(0)
  }

  private func run(
    _ layer: Layer, _ x: FloatMatrix, _ cache: KeyValueCache, _ index: Int, cos: FloatMatrix, sin: FloatMatrix,
    _ compute: Compute
  ) throws {
    let epsilon = configuration.rmsNormEpsilon
    let normed = compute.rmsNorm(x, weight: layer.inputNorm, epsilon: epsilon)
    let query = compute.linear(normed, layer.query)
    let key = compute.linear(normed, layer.key)
    compute.rotate(query, headDimension: configuration.headDimension, cos: cos, sin: sin)
    compute.rotate(key, headDimension: configuration.headDimension, cos: cos, sin: sin)
    let (keys, values) = cache.store(layer: index, keys: key, values: compute.linear(normed, layer.value))
    let attended = compute.attention(
      queries: HeadColumns(query), keys: HeadColumns(keys), values: HeadColumns(values),
      heads: AttentionHeads(
        count: configuration.heads, keyValueCount: configuration.keyValueHeads,
        dimension: configuration.headDimension),
      queryLayout: .consecutive(sequences: 1, length: x.rows),
      keyLayout: .consecutive(sequences: 1, length: cache.count + x.rows), causalOffset: cache.count)
    compute.add(compute.linear(attended, layer.out), to: x)
    let hidden = compute.rmsNorm(x, weight: layer.attentionNorm, epsilon: epsilon)
    let gate = compute.linear(hidden, layer.gate)
    compute.siluMultiply(gate: gate, up: compute.linear(hidden, layer.up))
    compute.add(compute.linear(gate, layer.down), to: x)
  }

  /// Angles of rotary embedding, position · θ^(−2i/d), computed in f32 as upstream does: at large positions the
  /// rounding of the product is part of the reference.
  private func rotaryTables(positions: Range<Int>) -> (cos: FloatMatrix, sin: FloatMatrix) {
    let half = configuration.headDimension / 2
    let cosTable = FloatMatrix(rows: positions.count, columns: half)
    let sinTable = FloatMatrix(rows: positions.count, columns: half)
    for index in 0..<half {
      let exponent = Float(2 * index) / Float(configuration.headDimension)
      let frequency = 1 / power(configuration.ropeTheta, exponent)
      for (row, position) in positions.enumerated() {
        let angle = Float(position) * frequency
        cosTable[row, index] = cosine(angle)
        sinTable[row, index] = sine(angle)
      }
    }
    return (cosTable, sinTable)
  }
}

/// Keys and values of everything the decoder has seen, in f32: per layer [capacity, key-value heads · head dimension].
public final class KeyValueCache: @unchecked Sendable {
  // Unchecked: belongs to one decoding session, which one caller drives.
  public let capacity: Int
  /// Rows held.
  public private(set) var count = 0
  private let keys: [FloatMatrix]
  private let values: [FloatMatrix]

  init(_ configuration: ModelConfiguration, capacity: Int) {
    self.capacity = capacity
    let width = configuration.keyValueHeads * configuration.headDimension
    keys = (0..<configuration.layers).map { _ in FloatMatrix(rows: capacity, columns: width) }
    values = (0..<configuration.layers).map { _ in FloatMatrix(rows: capacity, columns: width) }
  }

  func store(layer: Int, keys newKeys: FloatMatrix, values newValues: FloatMatrix) -> (FloatMatrix, FloatMatrix) {
    keys[layer].copyRows(0..<newKeys.rows, of: newKeys, toRow: count)
    values[layer].copyRows(0..<newValues.rows, of: newValues, toRow: count)
    return (keys[layer], values[layer])
  }

  func advance(by rows: Int) { count += rows }
}
