import GristCore
import GristKernels
import GristModel
import GristSources

/// One step's pictures and questions on their way through the router and back.
struct BatchPass {
  private let training: RouterTraining
  private let pass: RouterPass
  private let samples: [RouterTraining.PictureFeedback]
  private var routing: GranularityRouting { training.routing }
  private var compute: Compute { training.compute }

  init(_ training: RouterTraining, _ weights: RouterWeights, _ samples: [RouterTraining.PictureFeedback]) {
    (self.training, self.samples) = (training, samples)
    pass = RouterPass(weights: weights, compute: training.compute)
  }

  /// Rows of one pass, and what it left where there is room for it.
  private struct Block {
    let rows: RouterPass.Rows
    var trace: RouterPass.Trace?
  }

  /// Adds the gradients of all weights.
  ///
  /// - Returns: The loss, and the mean loss at the router's choice less the least.
  func addGradients(to gradients: RouterWeights) throws -> (loss: Double, regret: Double) {
    let granularities = routing.granularities.count
    var room = training.activationBytes
    func forward(_ rows: RouterPass.Rows, _ votes: inout [[Double]]) -> Block {
      let trace = pass.run(rows)
      pass.addVotes(of: trace, rows, to: &votes)
      let bytes = RouterPass.Trace.bytes(rows: rows.values.rows, width: routing.width)
      guard bytes <= room else { return Block(rows: rows) }
      room -= bytes
      return Block(rows: rows, trace: trace)
    }
    let questions = samples.flatMap(\.questions)
    var votes = [[Double]](repeating: [Double](repeating: 0, count: granularities), count: questions.count)
    var texts: [Block] = []
    for rows in try textRows(questions) { texts.append(forward(rows, &votes)) }
    // Pictures that are not kept are computed once more on the way back.
    var seen: [[Block]] = []
    var first = 0
    for sample in samples {
      var visual = [[Double](repeating: 0, count: granularities)]
      var blocks: [Block] = []
      for rows in try pictureRows(sample.picture) {
        let block = forward(rows, &visual)
        if block.trace != nil { blocks.append(block) }
      }
      seen.append(blocks)
      for question in first..<first + sample.questions.count {
        for index in visual[0].indices { votes[question][index] += visual[0][index] }
      }
      first += sample.questions.count
    }
    let (loss, regret, slopes) = score(votes, questions, gradients)
    func back(_ block: Block, _ slopes: [[Float]]) {
      pass.addGradients(slopes, of: block.trace ?? pass.run(block.rows), block.rows, to: gradients)
    }
    for block in texts { back(block, slopes) }
    first = 0
    for (sample, blocks) in zip(samples, seen) {
      try Interruption.check()
      let own = slopes[first..<first + sample.questions.count]
      let sums = [own.reduce([Float](repeating: 0, count: granularities)) { zip($0, $1).map(+) }]
      for block in blocks { back(block, sums) }
      for rows in try pictureRows(sample.picture).dropFirst(blocks.count) { back(Block(rows: rows), sums) }
      first += sample.questions.count
    }
    return (loss, regret)
  }

  /// The loss of the votes, and what reaches them.
  private func score(
    _ votes: [[Double]], _ questions: [QuestionFeedback], _ gradients: RouterWeights
  ) -> (loss: Double, regret: Double, slopes: [[Float]]) {
    let weights = pass.weights
    let sums = FloatMatrix(
      rows: votes.count, columns: routing.granularities.count, values: votes.flatMap { $0.map { Float($0) } })
    let logits = compute.layerNorm(
      sums, weight: weights.weight(.norm).row(0), bias: weights.bias(.norm).row(0), epsilon: routing.layerNormEpsilon)
    let rows = (0..<logits.rows).map(logits.row)
    let losses = questions.map { training.options.loss.priced($0.losses, routing.granularities) }
    let (loss, slopes) = training.options.loss(rows, losses: losses)
    let gradient = FloatMatrix(rows: logits.rows, columns: logits.columns, values: slopes.flatMap { $0 })
    let reaching = compute.layerNormGradient(
      gradient, of: sums, weight: weights.weight(.norm), epsilon: routing.layerNormEpsilon,
      weightGradient: gradients.weight(.norm), biasGradient: gradients.bias(.norm))
    let regrets = zip(rows, losses).map { Double($1[indexOfGreatest($0)] - ($1.min() ?? 0)) }
    return (
      loss, regrets.reduce(0, +) / Double(max(regrets.count, 1)), (0..<reaching.rows).map(reaching.row)
    )
  }

  /// Rows that go through together at most.
  private static let blockRows = TrainingMemory.blockRows

  private func pictureRows(_ picture: String) throws -> [RouterPass.Rows] {
    guard let (features, tiles) = training.pictures.features(of: picture) else {
      throw GristError(.badData, "the feedback lacks a picture's features", found: picture)
    }
    let pooled = routing.pooled(features, tiles: tiles, compute)
    let positions = pooled.rows / max(tiles, 1)
    let together = max(1, Self.blockRows / max(tiles, 1))
    return stride(from: 0, to: positions, by: together).map { start in
      let range = start..<min(start + together, positions)
      let values = FloatMatrix(rows: tiles * range.count, columns: pooled.columns)
      for tile in 0..<tiles {
        let first = tile * positions
        values.copyRows(
          first + range.lowerBound..<first + range.upperBound, of: pooled, toRow: tile * range.count)
      }
      return RouterPass.Rows(
        values: values, tiles: tiles, voters: Array(range), owners: [Int](repeating: 0, count: range.count))
    }
  }

  /// The text of questions. It is the same in every tile, and so is what the router makes of it: one stands for all.
  private func textRows(_ questions: [QuestionFeedback]) throws -> [RouterPass.Rows] {
    let count = training.textTokens
    guard count > 0 else { return [] }
    let firstVoter = routing.granularities.reduce(0, +)
    let together = max(1, Self.blockRows / count)
    return try stride(from: 0, to: questions.count, by: together).map { start in
      let owners = start..<min(start + together, questions.count)
      let values = FloatMatrix(rows: owners.count * count, columns: routing.width)
      for (place, owner) in owners.enumerated() {
        let kept = Array(questions[owner].text.prefix(count))
        values.copyRows(0..<kept.count, of: try training.embed(kept), toRow: place * count)
      }
      return RouterPass.Rows(
        values: values, tiles: 1, voters: owners.flatMap { _ in firstVoter..<firstVoter + count },
        owners: owners.flatMap { [Int](repeating: $0, count: count) })
    }
  }
}
