import GristCheckpoints
import GristCore
import GristFamilies
import GristKernels

/// The LLaMA decoder: RMSNorm, rotary attention with a cache, SwiGLU.
struct LanguageModel: Sendable {
  private let configuration: ModelConfiguration
  let layers: [Lazy<Layer>]
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

  /// An empty cache with room for `capacity` rows to begin with. Quantized weights on int8 activations leave f16 nothing to lose;
  /// anything more precise keeps f32.
  func cache(capacity: Int, _ compute: Compute) throws -> KeyValueCache {
    let isQuantized = try compute.activations == .int8 && layers.first?.get().key.isQuantized == true
    return KeyValueCache(configuration, capacity: capacity, precision: isQuantized ? .f16 : .f32)
  }

  /// Rows that run through the layers together: so few that what a layer computes stays in the last cache, so many
  /// that reading its weights again for the next block is nothing.
  private static let blockRows = 512

  /// Runs rows [tokens, hidden] that follow what `cache` holds, and appends them to it. Returns the last row's logits,
  /// one a vocabulary entry.
  func logits(_ rows: FloatMatrix, cache: KeyValueCache, _ compute: Compute) throws -> [Float] {
    let last = try run(rows, cache: cache, compute)
    let normed = compute.rmsNorm(last, weight: finalNorm, epsilon: configuration.rmsNormEpsilon)
    let logits = compute.linear(normed, try head.get())
    try compute.inPart("final norm and head") { try compute.requireFinite(logits, "logits") }
    return logits.row(0)
  }

  /// The last row after all layers: [1, hidden].
  private func run(_ rows: FloatMatrix, cache: KeyValueCache, _ compute: Compute) throws -> FloatMatrix {
    precondition(rows.columns == configuration.hiddenSize && rows.rows > 0)
    var last = rows
    for start in stride(from: 0, to: rows.rows, by: Self.blockRows) {
      let block = rows.copy(rows: start..<min(start + Self.blockRows, rows.rows))
      let (cos, sin) = rotaryTables(positions: cache.count..<cache.count + block.rows)
      for (index, layer) in layers.enumerated() {
        try Interruption.check()
        try compute.inPart("language layer \(index)") {
          try run(layer.get(), block, cache, index, cos: cos, sin: sin, compute)
        }
      }
      cache.advance(by: block.rows)
      last = block.copy(rows: block.rows - 1..<block.rows)
    }
    return last
  }

  private func run(
    _ layer: Layer, _ x: FloatMatrix, _ cache: KeyValueCache, _ index: Int, cos: FloatMatrix, sin: FloatMatrix,
    _ compute: Compute
  ) throws {
    let epsilon = configuration.rmsNormEpsilon
    let heads = configuration.attentionHeads
    let normed = compute.rmsNorm(x, weight: layer.inputNorm, epsilon: epsilon)
    let projected = compute.linear(normed, [(layer.query, nil), (layer.key, nil), (layer.value, nil)])
    // An infinite score would only look like a token that nobody attends to.
    for (matrix, name) in zip(projected, ["queries", "keys", "values"]) { try compute.requireFinite(matrix, name) }
    let query = projected[0]
    compute.rotate(query, headDimension: heads.dimension, cos: cos, sin: sin)
    compute.rotate(projected[1], headDimension: heads.dimension, cos: cos, sin: sin)
    let (keys, values) = cache.store(layer: index, keys: projected[1], values: projected[2], compute)
    let attended = compute.attention(
      queries: HeadRows(query, dimension: heads.dimension), keys: keys, values: values, heads: heads,
      queryLayout: .consecutive(sequences: 1, length: x.rows),
      keyLayout: .consecutive(sequences: 1, length: cache.count + x.rows), causalOffset: cache.count)
    compute.add(compute.linear(attended, layer.out), to: x)
    let hidden = compute.rmsNorm(x, weight: layer.attentionNorm, epsilon: epsilon)
    let gateAndUp = compute.linear(hidden, [(layer.gate, nil), (layer.up, nil)])
    compute.siluMultiply(gate: gateAndUp[0], up: gateAndUp[1])
    compute.add(compute.linear(gateAndUp[0], layer.down), to: x)
    try compute.requireFinite(x, "output")
  }

  /// Angles of rotary embedding, position · frequency, computed in f32 as upstream does: at large positions the
  /// rounding of the product is part of the reference.
  private func rotaryTables(positions: Range<Int>) -> (cos: FloatMatrix, sin: FloatMatrix) {
    let half = configuration.headDimension / 2
    let cosTable = FloatMatrix(rows: positions.count, columns: half)
    let sinTable = FloatMatrix(rows: positions.count, columns: half)
    let frequencies = configuration.rotary.inverseFrequencies(dimension: configuration.headDimension)
    for (index, frequency) in frequencies.enumerated() {
      for (row, position) in positions.enumerated() {
        let angle = Float(position) * frequency
        cosTable[row, index] = cosine(angle)
        sinTable[row, index] = sine(angle)
      }
    }
    return (cosTable, sinTable)
  }
}

extension ModelConfiguration {
  /// The decoder's attention heads.
  var attentionHeads: AttentionHeads {
    AttentionHeads(count: language.heads, keyValueCount: language.keyValueHeads, dimension: language.headDimension)
  }
}
