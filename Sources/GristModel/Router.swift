import GristCore
import GristKernels
import GristSources

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

  /// How much wider the margin between this decision's first two grids is in another decision over the same ones; 0 where there
  /// is but one.
  public func marginChange(in other: RouterDecision) -> Float {
    let order = logits.indices.sorted { logits[$0] > logits[$1] }
    guard order.count > 1, other.logits.count == logits.count else { return 0 }
    return (other.logits[order[0]] - other.logits[order[1]]) - (logits[order[0]] - logits[order[1]])
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
  private let scaler: Scaler
  private let grids: [PoolingGrid]
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
    let side = model.vision?.tower.gridSize ?? 0
    scaler = Scaler(side: side)
    grids = granularities.compactMap { PoolingGrid(granularity: $0, side: side) }
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

  /// Logits for an image's features [tiles · side², width] and the filtered text's rows [kept, width], padded with zero
  /// rows up to the filter's size.
  ///
  /// - Throws: 65 when a value is not finite, 130 when interrupted.
  ///
  /// Positions do not see each other: the merger's attention runs across the tiles. So bands of the picture, high enough
  /// that every grid's windows end where they end, go through one after the other, and text is a band of its own.
  func logits(features: FloatMatrix, text: FloatMatrix, tiles: Int, _ compute: Compute) throws -> [Float] {
    var votes = [Double](repeating: 0, count: granularities.count)
    for patchRows in bands(tiles: tiles) {
      try Interruption.check()
      try compute.inPart("the router") {
        let band = try band(patchRows, of: features, tiles: tiles, compute)
        add(votesOf: try merge(band.sequence, band.projected, tiles: tiles, compute), band.voters, to: &votes, compute)
      }
    }
    try Interruption.check()
    try compute.inPart("the router") { try add(votesOfText: text, tiles: tiles, to: &votes, compute) }
    let mean = FloatMatrix(rows: 1, columns: votes.count, values: votes.map { Float($0 / Double(tiles)) })
    compute.round(mean)
    let logits = norm(mean, compute)
    try compute.inPart("the router") { try compute.requireFinite(logits, "logits") }
    return logits.row(0)
  }

  /// Rows that go through the merger together at most, where a band is no higher.
  private static let blockRows = 1024

  /// The picture's rows of patches, cut into bands.
  private func bands(tiles: Int) -> [Range<Int>] {
    let height = grids.reduce(1) { min(leastCommonMultiple($0, $1.windowRows), scaler.side) }
    let positions = grids.reduce(0) { $0 + height / $1.windowRows * $1.columns }
    let rows = height * max(1, Self.blockRows / max(tiles * positions, 1))
    return stride(from: 0, to: scaler.side, by: max(rows, 1)).map { $0..<min($0 + rows, scaler.side) }
  }

  /// Rows of one band at all grids, [tiles · positions, width], and what the merger's first layer makes of them.
  private struct Band {
    let sequence: FloatMatrix
    /// Queries, keys and values beside each other.
    let projected: FloatMatrix
    /// Each position's place among the voters.
    let voters: [Int]
  }

  private func band(
    _ patchRows: Range<Int>, of features: FloatMatrix, tiles: Int, _ compute: Compute
  ) throws -> Band {
    let (side, height) = (scaler.side, patchRows.count)
    let fine = FloatMatrix(uninitializedRows: tiles * height * side, columns: features.columns)
    for tile in 0..<tiles {
      let first = (tile * side + patchRows.lowerBound) * side
      fine.copyRows(first..<first + height * side, of: features, toRow: tile * height * side)
    }
    var voters: [Int] = []
    var begins: [Int] = []
    var firstVoter = 0
    for grid in grids {
      begins.append(voters.count)
      let first = firstVoter + patchRows.lowerBound / grid.windowRows * grid.columns
      voters += first..<first + height / grid.windowRows * grid.columns
      firstVoter += grid.tokens
    }
    func pooled(_ fine: FloatMatrix) -> FloatMatrix {
      let out = FloatMatrix(uninitializedRows: tiles * voters.count, columns: fine.columns)
      for (grid, begin) in zip(grids, begins) {
        scaler.pool(fine, tiles: tiles, patchRows: height, to: grid, into: out, firstRow: begin, compute)
      }
      compute.round(out)
      return out
    }
    let sequence = pooled(fine)
    // A projection is linear and pooling a mean, so the means of what the finest grid gives are what their means give, and
    // half the products. Where results are rounded, they are rounded as the reference does it.
    let commutes = compute.rounding == .none && fine.rows < sequence.rows
    let projected = commutes ? pooled(try project(fine, compute)) : try project(sequence, compute)
    return Band(sequence: sequence, projected: projected, voters: voters)
  }

  private func project(_ rows: FloatMatrix, _ compute: Compute) throws -> FloatMatrix {
    let projected = attentionIn(rows, compute)
    try compute.requireFinite(projected, "merger's queries, keys and values")
    return projected
  }

  /// Text rows are the same in every tile, and so is what the merger makes of them: equal keys share attention equally.
  private func add(
    votesOfText text: FloatMatrix, tiles: Int, to votes: inout [Double], _ compute: Compute
  ) throws {
    let count = configuration.filteredTextTokens
    // Where results are rounded, equal shares are rounded too.
    let copies = compute.rounding == .none ? 1 : tiles
    let sequence = FloatMatrix(rows: copies * count, columns: text.columns)
    for copy in 0..<copies { sequence.copyRows(0..<min(text.rows, count), of: text, toRow: copy * count) }
    let merged = try merge(sequence, project(sequence, compute), tiles: copies, compute)
    var shares = [Double](repeating: 0, count: votes.count)
    let firstVoter = grids.reduce(0) { $0 + $1.tokens }
    add(votesOf: merged, Array(firstVoter..<firstVoter + count), to: &shares, compute)
    for index in votes.indices { votes[index] += shares[index] * Double(tiles / copies) }
  }

  /// One post-norm transformer encoder layer. Its attention runs across the tiles, for each position by itself:
  /// upstream feeds [tiles, positions, width] to a layer that takes the sequence first.
  private func merge(
    _ sequence: FloatMatrix, _ projected: FloatMatrix, tiles: Int, _ compute: Compute
  ) throws -> FloatMatrix {
    let width = sequence.columns
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

  /// Adds the opinions of every tile's positions, weighted by their voters, to `votes`, one a granularity.
  private func add(votesOf merged: FloatMatrix, _ voters: [Int], to votes: inout [Double], _ compute: Compute) {
    let hidden = hiddenLayer(merged, compute)
    compute.apply(.gelu, to: hidden)
    let opinions = outputLayer(hidden, compute)
    for row in 0..<opinions.rows {
      let weight = Double(voter[voters[row % voters.count]])
      opinions.withRow(row) { values in
        for index in votes.indices { votes[index] += weight * Double(values[index]) }
      }
    }
  }
}

private func leastCommonMultiple(_ a: Int, _ b: Int) -> Int {
  var (x, y) = (a, b)
  while y != 0 { (x, y) = (y, x % y) }
  return a / max(x, 1) * b
}
