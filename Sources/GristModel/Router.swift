import GristCheckpoints
import GristCore
import GristFamilies
import GristKernels

/// What the router decided for one image and prompt.
public struct RouterDecision: Sendable {
  /// Tokens a tile of each output, in order.
  public let granularities: [Int]
  /// One logit a granularity.
  public let logits: [Float]
  /// Indices of the text tokens (the image placeholder not counted) that the filter kept, most similar first.
  public let filterOrder: [Int]

  public init(granularities: [Int], logits: [Float], filterOrder: [Int]) {
    self.granularities = granularities
    self.logits = logits
    self.filterOrder = filterOrder
  }

  /// Position of the greatest logit, the first of equal ones.
  public var choiceIndex: Int { indexOfGreatest(logits) }
  public var choice: Int { granularities[choiceIndex] }
  /// Whether every logit is a number; among others there is no greatest one.
  public var isFinite: Bool { logits.allSatisfy(\.isFinite) }
  /// Distance between the two greatest logits.
  public var margin: Float {
    let sorted = logits.sorted(by: >)
    return sorted.count > 1 ? sorted[0] - sorted[1] : .infinity
  }
}

/// Position of the greatest value, the first of equal ones; 0 for an empty list.
public func indexOfGreatest(_ values: [Float]) -> Int {
  var best = 0
  for index in values.indices where values[index] > values[best] { best = index }
  return best
}

/// AVG-LLaVA's visual granularity router.
struct Router: Sendable {
  private let configuration: RouterConfiguration
  private let granularities: [Int]
  private let attentionIn: BiasedLinear
  private let attentionOut: BiasedLinear
  private let norm1: LayerNorm
  private let linear1: BiasedLinear
  private let linear2: BiasedLinear
  private let norm2: LayerNorm
  private let hiddenLayer: BiasedLinear
  private let outputLayer: BiasedLinear
  private let voter: [Float]
  private let norm: LayerNorm

  init(_ store: some ParameterStore, _ model: ModelConfiguration, _ configuration: RouterConfiguration) throws {
    self.configuration = configuration
    granularities = model.granularities
    let prefix = ModelConfiguration.routerPrefix
    let merger = prefix + "merger."
    let hidden = model.hiddenSize
    let epsilon = configuration.layerNormEpsilon
    func linear(_ name: String, _ rows: Int) throws -> BiasedLinear {
      try BiasedLinear(store, name, rows: rows, columns: hidden)
    }
    attentionIn = BiasedLinear(
      weights: try store.matrix(merger + "self_attn.in_proj_weight", rows: 3 * hidden, columns: hidden),
      bias: try store.values(merger + "self_attn.in_proj_bias", count: 3 * hidden))
    attentionOut = try linear(merger + "self_attn.out_proj", hidden)
    norm1 = try LayerNorm(store, merger + "norm1", width: hidden, epsilon: epsilon)
    linear1 = try linear(merger + "linear1", hidden)
    linear2 = try linear(merger + "linear2", hidden)
    norm2 = try LayerNorm(store, merger + "norm2", width: hidden, epsilon: epsilon)
    hiddenLayer = try linear(prefix + "router.0", hidden)
    outputLayer = try linear(prefix + "router.2", model.granularities.count)
    voter = try store.values(prefix + "voter", count: model.routerRows(configuration))
    norm = try LayerNorm(store, prefix + "norm", width: model.granularities.count, epsilon: epsilon)
  }

  /// Logits for pooled features (one matrix [tiles · tokens, width] a granularity, in the model's order) and the
  /// filtered text's rows [kept, width], padded with zero rows up to the filter's size.
  /// Throws 65 when a value is not finite, 130 when interrupted.
  func logits(pooled: [FloatMatrix], text: FloatMatrix, tiles: Int, _ compute: Compute) throws -> [Float] {
    // The attention runs across the tiles, so positions do not see each other: blocks of them stay in the cache.
    let positions = voter.count
    var votes = [Double](repeating: 0, count: granularities.count)
    for first in stride(from: 0, to: positions, by: Self.blockPositions) {
      let block = first..<min(first + Self.blockPositions, positions)
      try Interruption.check()
      let rows = sequence(pooled: pooled, text: text, tiles: tiles, block)
      try compute.inPart("the router") {
        add(votesOf: try merge(rows, tiles: tiles, compute), block, to: &votes, compute)
      }
    }
    let mean = FloatMatrix(rows: 1, columns: votes.count, values: votes.map { Float($0 / Double(tiles)) })
    compute.round(mean)
    let logits = norm(mean, compute)
    try compute.inPart("the router") { try compute.requireFinite(logits, "logits") }
    return logits.row(0)
  }

  private static let blockPositions = 128

  /// Rows of the positions `block` of every tile: [tiles · block, width].
  private func sequence(
    pooled: [FloatMatrix], text: FloatMatrix, tiles: Int, _ block: Range<Int>
  ) -> FloatMatrix {
    let sequence = FloatMatrix(rows: tiles * block.count, columns: text.columns)
    for tile in 0..<tiles {
      /// Copies what of `count` rows of `source` from `row` on, which stand at `position`, belongs to the block.
      func copy(_ source: FloatMatrix, row: Int, count: Int, position: Int) {
        let part = (position..<position + count).clamped(to: block)
        guard !part.isEmpty else { return }
        let start = row + part.lowerBound - position
        sequence.copyRows(
          start..<start + part.count, of: source, toRow: tile * block.count + part.lowerBound - block.lowerBound)
      }
      var position = 0
      for (features, tokens) in zip(pooled, granularities) {
        copy(features, row: tile * tokens, count: tokens, position: position)
        position += tokens
      }
      copy(text, row: 0, count: min(text.rows, configuration.filteredTextTokens), position: position)
    }
    return sequence
  }

  /// One post-norm transformer encoder layer. Its attention runs across the tiles, for each position by itself:
  /// upstream feeds [tiles, positions, width] to a layer that takes the sequence first.
  private func merge(_ sequence: FloatMatrix, tiles: Int, _ compute: Compute) throws -> FloatMatrix {
    let width = sequence.columns
    let projected = attentionIn(sequence, compute)
    try compute.requireFinite(projected, "merger's queries, keys and values")
    let layout = SequenceLayout(
      sequences: sequence.rows / tiles, length: tiles, sequenceStride: 1, elementStride: sequence.rows / tiles)
    let heads = AttentionHeads(
      count: configuration.heads, keyValueCount: configuration.heads, dimension: width / configuration.heads)
    let parts = (0..<3).map { HeadRows(projected, firstColumn: $0 * width, dimension: heads.dimension) }
    let attended = compute.attention(
      queries: parts[0], keys: parts[1], values: parts[2], heads: heads, queryLayout: layout, keyLayout: layout)
    compute.add(attentionOut(attended, compute), to: sequence)
    let x = norm1(sequence, compute)
    let hidden = linear1(x, compute)
    // Where it is negative, ReLU forgets it.
    try compute.requireFinite(hidden, "merger's linear1")
    compute.apply(.relu, to: hidden)
    compute.add(linear2(hidden, compute), to: x)
    return norm2(x, compute)
  }

  /// Adds the opinions of the positions `block` of every tile, weighted by the voter, to `votes`, one a granularity.
  private func add(votesOf merged: FloatMatrix, _ block: Range<Int>, to votes: inout [Double], _ compute: Compute) {
    let hidden = hiddenLayer(merged, compute)
    compute.apply(.gelu, to: hidden)
    let opinions = outputLayer(hidden, compute)
    for row in 0..<opinions.rows {
      let weight = Double(voter[block.lowerBound + row % block.count])
      opinions.withRow(row) { values in
        for index in votes.indices { votes[index] += weight * Double(values[index]) }
      }
    }
  }
}
