import GristCore
import GristKernels
import GristSources

/// The LLaMA decoder: RMSNorm, rotary attention with a cache, SwiGLU. Its weights are held once they were needed, or
/// had anew for every pass.
struct LanguageModel: Sendable {
  private let configuration: ModelConfiguration
  private let arithmetic: DecoderArithmetic
  private let path: String
  private let layers: [Lazy<DecoderLayer>]
  private let norms: DecoderNorms
  private let head: Lazy<any LinearWeights>
  private let holdsCodes: Bool

  init(_ store: some ParameterStore, _ configuration: ModelConfiguration) throws {
    self.configuration = configuration
    arithmetic = DecoderArithmetic(configuration)
    path = store.path
    let language = configuration.language
    layers = (0..<configuration.layers).map { layer in
      let tensors = DecoderLayerTensors(layer, language)
      return Lazy(isKept: store.keeps(tensors.query)) { try DecoderLayer(store, tensors) }
    }
    norms = try DecoderNorms(holding: store, language)
    head = Lazy(isKept: store.keeps(language.output)) { try store.matrix(language.output) }
    holdsCodes = store.source.holdsCodes
  }

  /// Reads what the first row of a prompt waits for before anything is computed.
  func loadFirstLayer() throws { _ = try layers.first?.get() }

  /// An empty cache with room for `capacity` rows to begin with.
  func cache(capacity: Int, _ compute: Compute) -> KeyValueCache {
    KeyValueCache(
      layers: layers.count, heads: arithmetic.heads, capacity: capacity,
      precision: compute.cachePrecision(isQuantized: holdsCodes))
  }

  /// Whether a few rows that go through together become what each would become alone: where codes meet codes, see
  /// Docs/small-hosts.md.
  func computesAlike(_ compute: Compute) -> Bool { holdsCodes && compute.activations == .int8 }

  /// Rows that run through the layers together: so few that what a layer computes stays in the last cache, so many
  /// that reading its weights again for the next block is nothing.
  static let blockRows = 512

  /// Rows that a sequence's cache does not hold yet.
  struct Passage {
    /// [tokens, hidden], at least one.
    let rows: FloatMatrix
    let cache: KeyValueCache
    /// Of how many of the last rows logits are wanted.
    var wanted = 1
  }

  /// Runs passages through the model, each layer's weights once for all of them, and appends their rows to their
  /// caches. Returns the logits of each one's last rows, [wanted, vocabulary].
  ///
  /// - Throws: 65 for values that are not finite, 130 when interrupted, and what reading weights throws.
  func logits(_ passages: [Passage], _ compute: Compute) throws -> [FloatMatrix] {
    let normed = try hiddenStates(passages, compute)
    let head: any LinearWeights = try compute.inPart("final norm and head") { try self.head.get() }
    return try normed.map { rows in
      let logits = compute.linear(rows, head)
      try compute.inPart("final norm and head") { try compute.requireFinite(logits, "logits") }
      return logits
    }
  }

  /// Runs passages as ``logits(_:_:)`` does. Returns each one's last rows behind the final norm, [wanted, hidden].
  ///
  /// - Precondition: Each has as many rows as are wanted of it, and one at least.
  func hiddenStates(_ passages: [Passage], _ compute: Compute) throws -> [FloatMatrix] {
    // A layer's weights are had once, and what they cost is shared by all rows; a block stays near the cores.
    let walks = try passages.map { passage in
      precondition(passage.rows.rows >= max(passage.wanted, 1))
      return try stride(from: 0, to: passage.rows.rows, by: Self.blockRows).map { start in
        let block = passage.rows.copy(rows: start..<min(start + Self.blockRows, passage.rows.rows))
        return try DecoderWalk(
          block, lengths: [block.rows], configuration, arithmetic: arithmetic, norms: norms, cache: passage.cache,
          position: passage.cache.count + start, path: path, compute)
      }
    }
    for (index, layer) in layers.enumerated() {
      let weights: DecoderLayer = try compute.inPart("language layer \(index)") { try layer.get() }
      for walk in walks.joined() { try walk.advance(through: weights) }
    }
    return try zip(passages, walks).map { passage, walks in
      passage.cache.advance(by: passage.rows.rows)
      return try lastInputs(walks, passage.wanted, compute)
    }
  }

  /// The last rows behind the final norm, of one block or of two.
  private func lastInputs(_ walks: [DecoderWalk], _ count: Int, _ compute: Compute) throws -> FloatMatrix {
    guard let last = walks.last, last.rows.rows < count else { return try walks[walks.count - 1].lastInputs(count) }
    let result = FloatMatrix(rows: count, columns: last.rows.columns)
    var end = count
    for walk in walks.reversed() where end > 0 {
      let here = min(end, walk.rows.rows)
      result.copyRows(0..<here, of: try walk.lastInputs(here), toRow: end - here)
      end -= here
    }
    return result
  }
}
