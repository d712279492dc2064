import GristCore
import GristKernels
import GristSources

/// AVG-LLaVA's visual granularity router.
struct GranularityRouter: Router {
  private let routing: GranularityRouting
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

  init(_ store: any ParameterStore, _ routing: GranularityRouting) throws {
    self.routing = routing
    scaler = Scaler(side: routing.side)
    grids = routing.granularities.compactMap { PoolingGrid(granularity: $0, side: routing.side) }
    let epsilon = routing.layerNormEpsilon
    attentionIn = try BiasedLinear(store, routing.attentionIn)
    attentionOut = try BiasedLinear(store, routing.attentionOut)
    norm1 = try LayerNorm(store, routing.norm1, epsilon: epsilon)
    linear1 = try BiasedLinear(store, routing.linear1)
    linear2 = try BiasedLinear(store, routing.linear2)
    norm2 = try LayerNorm(store, routing.norm2, epsilon: epsilon)
    hiddenLayer = try BiasedLinear(store, routing.hiddenLayer)
    outputLayer = try BiasedLinear(store, routing.outputLayer)
    voter = try store.values(routing.voter)
    norm = try LayerNorm(store, routing.norm, epsilon: epsilon)
  }

  func decide(_ input: RouterInput, _ compute: Compute) throws -> RouterDecision {
    try decide(input.features, tiles: input.tiles, texts: [input.text], compute)[0]
  }

  /// What is decided about a picture for each of several texts, [tokens, width] each; what the picture says is the same
  /// for all of them, and computed once.
  ///
  /// - Throws: 65 when a value is not finite, 130 when interrupted.
  func decide(
    _ features: FloatMatrix, tiles: Int, texts: [FloatMatrix], _ compute: Compute
  ) throws -> [RouterDecision] {
    let wholePicture = features.copy(rows: 0..<scaler.side * scaler.side)
    let votes = try votes(ofPicture: features, tiles: tiles, compute)
    return try texts.map { text in
      let filtered = TextFilter(count: routing.filteredTextTokens)(text: text, image: wholePicture, compute)
      let kept = FloatMatrix(rows: filtered.order.count, columns: text.columns)
      for (row, source) in filtered.order.enumerated() { kept.copyRows(source..<source + 1, of: text, toRow: row) }
      let logits = try logits(votes, text: kept, tiles: tiles, compute)
      return RouterDecision(granularities: routing.granularities, logits: logits, filterOrder: filtered.order)
    }
  }

  /// What an image's features [tiles · side², width] say, one number a granularity.
  ///
  /// Positions do not see each other: the merger's attention runs across the tiles. So bands of the picture, high
  /// enough that every grid's windows end where they end, go through one after the other, and text is a band of its
  /// own.
  private func votes(ofPicture features: FloatMatrix, tiles: Int, _ compute: Compute) throws -> [Double] {
    var votes = [Double](repeating: 0, count: grids.count)
    for patchRows in bands(tiles: tiles) {
      try Interruption.check()
      try compute.inPart("the router") {
        let band = try band(patchRows, of: features, tiles: tiles, compute)
        add(votesOf: try merge(band.sequence, band.projected, tiles: tiles, compute), band.voters, to: &votes, compute)
      }
    }
    return votes
  }

  /// Logits for what a picture says and the filtered text's rows [kept, width], padded with zero rows up to the filter's
  /// size.
  private func logits(
    _ picture: [Double], text: FloatMatrix, tiles: Int, _ compute: Compute
  ) throws -> [Float] {
    var votes = picture
    try Interruption.check()
    // Few rows, which weigh much: where they are rounded scores move by four times as much.
    let exact = compute.keepingPlainWeights
    try compute.inPart("the router") { try add(votesOfText: text, tiles: tiles, to: &votes, exact) }
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
    // A projection is linear and pooling a mean, so the means of what the finest grid gives are what their means give,
    // and half the products. Where results are rounded, they are rounded as the reference does it.
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
    let count = routing.filteredTextTokens
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
      count: routing.heads, keyValueCount: routing.heads, dimension: width / routing.heads)
    // Queries, keys and values lie beside each other.
    func rows(_ part: Int) -> HeadRows {
      HeadRows(projected, firstColumn: part * width, dimension: heads.dimension)
    }
    let attended = compute.attention(
      queries: rows(0), keys: rows(1), values: rows(2), heads: heads, queryLayout: layout, keyLayout: layout)
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

extension GranularityRouting: RunnableRouting {
  public func router(_ parameters: any ParameterStore) throws -> any Router { try GranularityRouter(parameters, self) }

  /// A router that is asked about one picture for several texts at once: features [tiles · side², width], texts
  /// [tokens, width] each.
  ///
  /// - Throws: 65 when a tensor is missing or has another shape.
  package func pictureRouter(
    _ parameters: any ParameterStore
  ) throws -> @Sendable (FloatMatrix, _ tiles: Int, _ texts: [FloatMatrix], Compute) throws -> [RouterDecision] {
    let router = try GranularityRouter(parameters, self)
    return { features, tiles, texts, compute in try router.decide(features, tiles: tiles, texts: texts, compute) }
  }

  /// A picture's features at all granularities, one after the other, as the router sees them.
  ///
  /// - Parameter features: the projector's rows, [tiles · side², width].
  ///
  /// - Returns: [tiles · sum of the granularities, width], tile after tile.
  package func pooled(_ features: FloatMatrix, tiles: Int, _ compute: Compute) -> FloatMatrix {
    let out = FloatMatrix(rows: tiles * granularities.reduce(0, +), columns: features.columns)
    var first = 0
    for granularity in granularities {
      guard let grid = PoolingGrid(granularity: granularity, side: side) else { continue }
      Scaler(side: side).pool(
        features, tiles: tiles, patchRows: side, to: grid, into: out, firstRow: first, compute)
      first += granularity
    }
    return out
  }
}

extension RouterDecision {
  /// The name of `GranularityRouting`'s reason: which of the prompt's tokens it looked at, most similar first, as
  /// positions in the text without the picture's place.
  public static let filter = "filter"

  /// AVG-LLaVA's: the granularity of the greatest logit, for all tiles.
  ///
  /// - Precondition: There is a granularity, and there are as many logits.
  public init(granularities: [Int], logits: [Float], filterOrder: [Int]) {
    self.init(
      [RouterChoice(.picture, options: granularities, scores: logits)],
      reasons: [Reason(Self.filter, .ranking(filterOrder))])
  }

  /// The text tokens that the filter kept, most similar first; nil of another family's router.
  public var filterOrder: [Int]? { ranking(Self.filter) }
}

private func leastCommonMultiple(_ a: Int, _ b: Int) -> Int {
  var (x, y) = (a, b)
  while y != 0 { (x, y) = (y, x % y) }
  return a / max(x, 1) * b
}
