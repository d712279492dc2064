import GristCheckpoints
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
  private let configuration: ModelConfiguration.Router
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

  init(_ store: some ParameterStore, _ model: ModelConfiguration, _ configuration: ModelConfiguration.Router) throws {
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
  func logits(pooled: [FloatMatrix], text: FloatMatrix, tiles: Int, _ compute: Compute) -> [Float] {
    let sequence = sequence(pooled: pooled, text: text, tiles: tiles)
    let votes = vote(merge(sequence, tiles: tiles, compute), tiles: tiles, compute)
    return norm(votes, compute).row(0)
  }

  private func sequence(pooled: [FloatMatrix], text: FloatMatrix, tiles: Int) -> FloatMatrix {
    let length = voter.count
    let sequence = FloatMatrix(rows: tiles * length, columns: text.columns)
    for tile in 0..<tiles {
      var row = tile * length
      for (features, tokens) in zip(pooled, granularities) {
        sequence.copyRows(tile * tokens..<(tile + 1) * tokens, of: features, toRow: row)
        row += tokens
      }
      sequence.copyRows(0..<min(text.rows, configuration.filteredTextTokens), of: text, toRow: row)
    }
    return sequence
  }

  /// One post-norm transformer encoder layer. Its attention runs across the tiles, for each position by itself:
  /// upstream feeds [tiles, positions, width] to a layer that takes the sequence first.
  private func merge(_ sequence: FloatMatrix, tiles: Int, _ compute: Compute) -> FloatMatrix {
    let width = sequence.columns
    let projected = attentionIn(sequence, compute)
    let layout = SequenceLayout(
      sequences: voter.count, length: tiles, sequenceStride: 1, elementStride: voter.count)
    let attended = compute.attention(
      queries: HeadColumns(projected), keys: HeadColumns(projected, firstColumn: width),
      values: HeadColumns(projected, firstColumn: 2 * width),
      heads: AttentionHeads(
        count: configuration.heads, keyValueCount: configuration.heads, dimension: width / configuration.heads),
      queryLayout: layout, keyLayout: layout)
    compute.add(attentionOut(attended, compute), to: sequence)
    let x = norm1(sequence, compute)
    let hidden = linear1(x, compute)
    compute.apply(.relu, to: hidden)
    compute.add(linear2(hidden, compute), to: x)
    return norm2(x, compute)
  }

  /// The rows' opinions, weighted by the voter and averaged over the tiles: [1, granularities].
  private func vote(_ merged: FloatMatrix, tiles: Int, _ compute: Compute) -> FloatMatrix {
    let hidden = hiddenLayer(merged, compute)
    compute.apply(.gelu, to: hidden)
    let opinions = outputLayer(hidden, compute)
    var sums = [Double](repeating: 0, count: granularities.count)
    for row in 0..<opinions.rows {
      let weight = Double(voter[row % voter.count])
      opinions.withRow(row) { values in
        for index in sums.indices { sums[index] += weight * Double(values[index]) }
      }
    }
    return FloatMatrix(rows: 1, columns: sums.count, values: sums.map { Float($0 / Double(tiles)) })
  }
}
