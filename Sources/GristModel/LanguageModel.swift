import GristCore
import GristKernels
import GristSources

/// The LLaMA decoder: RMSNorm, rotary attention with a cache, SwiGLU.
struct LanguageModel: Sendable {
  private let arithmetic: DecoderArithmetic
  let layers: [Lazy<DecoderLayer>]
  private let finalNorm: [Float]
  private let head: Lazy<any LinearWeights>

  init(_ store: some ParameterStore, _ configuration: ModelConfiguration) throws {
    arithmetic = DecoderArithmetic(configuration)
    layers = (0..<configuration.layers).map { layer in
      Lazy { try DecoderLayer(store, layer: layer, configuration) }
    }
    finalNorm = try store.values(ModelConfiguration.finalNormName, count: configuration.hiddenSize)
    head = Lazy { try store.matrix(.head(of: configuration)) }
  }

  /// An empty cache with room for `capacity` rows to begin with.
  func cache(capacity: Int, _ compute: Compute) throws -> KeyValueCache {
    let isQuantized = try layers.first?.get().isQuantized == true
    return KeyValueCache(
      layers: layers.count, heads: arithmetic.heads, capacity: capacity,
      precision: compute.cachePrecision(isQuantized: isQuantized))
  }

  /// Rows that run through the layers together: so few that what a layer computes stays in the last cache, so many
  /// that reading its weights again for the next block is nothing.
  private static let blockRows = 512

  /// Runs rows [tokens, hidden] that follow what `cache` holds, and appends them to it. Returns the last row's logits,
  /// one a vocabulary entry.
  func logits(_ rows: FloatMatrix, cache: KeyValueCache, _ compute: Compute) throws -> [Float] {
    let normed = try hiddenState(rows, cache: cache, compute)
    let logits = compute.linear(normed, try head.get())
    try compute.inPart("final norm and head") { try compute.requireFinite(logits, "logits") }
    return logits.row(0)
  }

  /// Runs rows as ``logits(_:cache:_:)`` does. Returns the last row after the final norm: [1, hidden].
  func hiddenState(_ rows: FloatMatrix, cache: KeyValueCache, _ compute: Compute) throws -> FloatMatrix {
    arithmetic.norm(try run(rows, cache: cache, compute), finalNorm, compute)
  }

  /// The last row after all layers: [1, hidden].
  private func run(_ rows: FloatMatrix, cache: KeyValueCache, _ compute: Compute) throws -> FloatMatrix {
    precondition(rows.columns == finalNorm.count && rows.rows > 0)
    var last = rows
    for start in stride(from: 0, to: rows.rows, by: Self.blockRows) {
      let block = rows.copy(rows: start..<min(start + Self.blockRows, rows.rows))
      let angles = arithmetic.rotaryAngles(positions: cache.count..<cache.count + block.rows)
      for (index, layer) in layers.enumerated() {
        try Interruption.check()
        try compute.inPart("language layer \(index)") {
          try run(layer.get(), block, cache, index, angles, compute)
        }
      }
      cache.advance(by: block.rows)
      last = block.copy(rows: block.rows - 1..<block.rows)
    }
    return last
  }

  private func run(
    _ layer: DecoderLayer, _ x: FloatMatrix, _ cache: KeyValueCache, _ index: Int,
    _ angles: DecoderArithmetic.RotaryAngles, _ compute: Compute
  ) throws {
    let normed = arithmetic.norm(x, layer.inputNorm, compute)
    let projected = compute.linear(normed, [(layer.query, nil), (layer.key, nil), (layer.value, nil)])
    let attended = try arithmetic.attend(
      projected, cache, layer: index, angles, mayNarrow: compute.mayNarrow(isQuantized: layer.isQuantized), compute)
    compute.add(compute.linear(attended, layer.out), to: x)
    let hidden = arithmetic.norm(x, layer.attentionNorm, compute)
    let gated = compute.linear(hidden, [(layer.gate, nil), (layer.up, nil)])
    compute.siluMultiply(gate: gated[0], up: gated[1])
    compute.add(compute.linear(gated[0], layer.down), to: x)
    try compute.requireFinite(x, "output")
  }
}
