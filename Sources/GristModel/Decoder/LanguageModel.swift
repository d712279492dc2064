import GristCore
import GristKernels
import GristSources

/// The LLaMA decoder, its weights held once they were needed: RMSNorm, rotary attention with a cache, SwiGLU.
struct LanguageModel: Sendable {
  private let configuration: ModelConfiguration
  private let arithmetic: DecoderArithmetic
  private let path: String
  let layers: [Lazy<DecoderLayer>]
  private let norms: DecoderNorms
  private let head: Lazy<any LinearWeights>

  init(_ store: some ParameterStore, _ configuration: ModelConfiguration) throws {
    self.configuration = configuration
    arithmetic = DecoderArithmetic(configuration)
    path = store.path
    layers = (0..<configuration.layers).map { layer in
      Lazy { try DecoderLayer(store, DecoderLayerTensors(layer, configuration.language)) }
    }
    norms = DecoderNorms(layers, final: try store.values(configuration.language.finalNorm))
    head = Lazy { try store.matrix(configuration.language.output) }
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
  static let blockRows = 512

  /// Runs rows [tokens, hidden] that follow what `cache` holds, and appends them to it. Returns the last row's logits,
  /// one a vocabulary entry.
  func logits(_ rows: FloatMatrix, cache: KeyValueCache, _ compute: Compute) throws -> [Float] {
    let normed = try hiddenState(rows, cache: cache, compute)
    let logits = compute.linear(normed, try head.get())
    try compute.inPart("final norm and head") { try compute.requireFinite(logits, "logits") }
    return logits.row(0)
  }

  /// Runs rows as ``logits(_:cache:_:)`` does. Returns the last row after the final norm: [1, hidden].
  ///
  /// - Precondition: There is a row.
  func hiddenState(_ rows: FloatMatrix, cache: KeyValueCache, _ compute: Compute) throws -> FloatMatrix {
    precondition(rows.rows > 0)
    var start = 0
    while true {
      let block = rows.copy(rows: start..<min(start + Self.blockRows, rows.rows))
      let walk = try DecoderWalk(
        block, lengths: [block.rows], configuration, arithmetic: arithmetic, norms: norms, cache: cache, path: path,
        compute)
      while !walk.isAtHead {
        let layer = try compute.inPart("language layer \(walk.layer)") { try layers[walk.layer].get() }
        try walk.advance(through: layer)
      }
      cache.advance(by: block.rows)
      start += block.rows
      if start == rows.rows { return try walk.lastInput() }
    }
  }
}
