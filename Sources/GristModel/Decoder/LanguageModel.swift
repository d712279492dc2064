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

  /// A prompt's rows in blocks. None is of fewer than `Compute.manyRows` where the prompt is not.
  static func blocks(of rows: Int) -> [Range<Int>] {
    var blocks = stride(from: 0, to: rows, by: blockRows).map { $0..<min($0 + blockRows, rows) }
    if blocks.count > 1, let last = blocks.last, last.count < Compute.manyRows {
      blocks.removeLast()
      blocks[blocks.count - 1] = blocks[blocks.count - 1].lowerBound..<rows
    }
    return blocks
  }

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
    func logits(_ rows: FloatMatrix) throws -> FloatMatrix {
      let logits = compute.linear(rows, head)
      try compute.inPart("final norm and head") { try compute.requireFinite(logits, "logits") }
      return logits
    }
    let counts = normed.map(\.rows)
    guard normed.count > 1, goTogether(counts, compute) else { return try normed.map(logits) }
    let all = try logits(FloatMatrix(stacking: normed))
    var end = 0
    return counts.map { count in
      end += count
      return all.copy(rows: end - count..<end)
    }
  }

  /// Whether rows of several sequences may meet the matrices together: where each becomes what it becomes alone.
  private func goTogether(_ rows: [Int], _ compute: Compute) -> Bool {
    computesAlike(compute) && rows.allSatisfy { $0 <= VisionLanguageModel.tokensAPass }
      && rows.reduce(0, +) < Compute.manyRows
  }

  /// Runs passages as ``logits(_:_:)`` does. Returns each one's last rows behind the final norm, [wanted, hidden].
  ///
  /// - Precondition: Each has as many rows as are wanted of it, and one at least.
  func hiddenStates(_ passages: [Passage], _ compute: Compute) throws -> [FloatMatrix] {
    for passage in passages { precondition(passage.rows.rows >= max(passage.wanted, 1)) }
    if passages.count > 1, goTogether(passages.map(\.rows.rows), compute) {
      return try hiddenStates(ofFew: passages, compute)
    }
    // A layer's weights are had once, and what they cost is shared by all rows; a block stays near the cores.
    let walks = try passages.map { passage in
      try Self.blocks(of: passage.rows.rows).map { block in
        try walk(
          passage.rows.copy(rows: block), lengths: [block.count],
          [.init(passage.cache, skipping: block.lowerBound, rows: block.count, arithmetic)], compute)
      }
    }
    try advance(Array(walks.joined()), compute)
    return try zip(passages, walks).map { passage, walks in
      passage.cache.advance(by: passage.rows.rows)
      return try lastInputs(walks, passage.wanted)
    }
  }

  /// A few rows of several sequences, which meet every matrix together.
  private func hiddenStates(ofFew passages: [Passage], _ compute: Compute) throws -> [FloatMatrix] {
    let walk = try walk(
      FloatMatrix(stacking: passages.map(\.rows)), lengths: passages.map(\.rows.rows),
      passages.map { .init($0.cache, rows: $0.rows.rows, arithmetic) }, compute)
    try advance([walk], compute)
    var end = 0
    return try passages.map { passage in
      passage.cache.advance(by: passage.rows.rows)
      end += passage.rows.rows
      return try walk.finalInputs(end - passage.wanted..<end)
    }
  }

  private func walk(
    _ rows: FloatMatrix, lengths: [Int], _ kept: [DecoderWalk.KeptRows], _ compute: Compute
  ) throws -> DecoderWalk {
    try DecoderWalk(
      rows, lengths: lengths, configuration, arithmetic: arithmetic, norms: norms, kept: kept, path: path, compute)
  }

  private func advance(_ walks: [DecoderWalk], _ compute: Compute) throws {
    for (index, layer) in layers.enumerated() {
      let weights: DecoderLayer = try compute.inPart("language layer \(index)") { try layer.get() }
      for walk in walks { try walk.advance(through: weights) }
    }
  }

  /// The last rows behind the final norm, of one block or of two.
  private func lastInputs(_ walks: [DecoderWalk], _ count: Int) throws -> FloatMatrix {
    var parts: [FloatMatrix] = []
    var left = count
    for walk in walks.reversed() where left > 0 {
      let here = min(left, walk.rows.rows)
      parts.insert(try walk.finalInputs(walk.rows.rows - here..<walk.rows.rows), at: 0)
      left -= here
    }
    return parts.count == 1 ? parts[0] : FloatMatrix(stacking: parts)
  }
}
