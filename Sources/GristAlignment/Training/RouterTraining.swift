import Foundation
import GristCore
import GristKernels
import GristModel
import GristSources

/// Trains a router on feedback: stage 2 of AVG-LLaVA, everything else frozen.
package struct RouterTraining {
  package let options: RouterAlignment.Training
  let routing: GranularityRouting
  let compute: Compute
  /// Of what a step's way back needs that are kept.
  let activationBytes: Int
  /// Every picture with the questions about it, in the order in which they came.
  package let samples: [PictureFeedback]
  package let pictures: FeedbackPictures
  /// Embeddings of token ids.
  package let embed: ([Int]) throws -> FloatMatrix

  /// - Parameters:
  ///   - options: how it learns.
  ///   - routing: the router.
  ///   - compute: in f32.
  ///   - activationBytes: of what a step's way back needs that are kept.
  ///   - samples: every picture with the questions about it.
  ///   - pictures: their features.
  ///   - embed: gives the embeddings of token ids.
  package init(
    options: RouterAlignment.Training, routing: GranularityRouting, compute: Compute, activationBytes: Int,
    samples: [PictureFeedback], pictures: FeedbackPictures, embed: @escaping ([Int]) throws -> FloatMatrix
  ) {
    (self.options, self.routing, self.compute, self.activationBytes) = (options, routing, compute, activationBytes)
    (self.samples, self.pictures, self.embed) = (samples, pictures, embed)
  }

  /// A picture, and what the model makes of the questions about it.
  package struct PictureFeedback {
    let picture: String
    var questions: [QuestionFeedback]

    package static func grouped(_ feedback: [QuestionFeedback]) -> [PictureFeedback] {
      var places: [String: Int] = [:]
      var result: [PictureFeedback] = []
      for item in feedback.sorted(by: { $0.index < $1.index }) {
        if let place = places[item.picture] {
          result[place].questions.append(item)
        } else {
          places[item.picture] = result.count
          result.append(PictureFeedback(picture: item.picture, questions: [item]))
        }
      }
      return result
    }
  }

  /// One step, as it is kept beside the feedback.
  package struct Step {
    package let number: Int
    package let pictures: [Int]
    package let rate: Double
    package let loss: Double
    /// Of all gradients together, before it is cut to 1.
    package let norm: Double
    /// Mean loss at the choice less the least loss.
    package let regret: Double

    var json: JSONValue {
      [
        "step": JSONValue(number), "pictures": JSONValue(pictures), "rate": JSONValue(rate), "loss": JSONValue(loss),
        "norm": JSONValue(norm), "regret": JSONValue(regret),
      ]
    }
  }

  var batch: Int { min(options.batch, samples.count) }
  var stepsPerEpoch: Int { samples.count / max(batch, 1) }
  var steps: Int { stepsPerEpoch * options.epochs }

  /// Which pictures a step learns from.
  func pictures(of step: Int) -> ArraySlice<Int> {
    let (epoch, place) = (step / stepsPerEpoch, step % stepsPerEpoch)
    var generator = SplitMix64(state: options.seed &+ UInt64(epoch) &* 0x9e37_79b9_7f4a_7c15)
    var order = Array(samples.indices)
    // Fisher & Yates: the same order on every machine.
    for last in stride(from: order.count - 1, to: 0, by: -1) {
      order.swapAt(last, Int(generator.next() % UInt64(last + 1)))
    }
    return order[place * batch..<(place + 1) * batch]
  }

  /// Adds the gradients of the loss of some samples to `gradients`.
  ///
  /// - Returns: The loss, and the mean loss at the router's choice less the least.
  /// - Throws: 65 for a picture whose features are not there, 130 when interrupted.
  package func addGradients(
    of weights: RouterWeights, on samples: [PictureFeedback], to gradients: RouterWeights
  ) throws -> (loss: Double, regret: Double) {
    let result = try BatchPass(self, weights, samples).addGradients(to: gradients)
    gradients.forgetText(beyond: textTokens)
    return result
  }

  /// Trains the weights in place, from where a state left off.
  ///
  /// - Parameters:
  ///   - weights: where training begins.
  ///   - state: where it goes on; what it is kept in now and then. Nil keeps nothing.
  ///   - interval: how long it goes on before it is kept again.
  ///   - heard: hears of every step.
  ///
  /// - Throws: 65 for a loss that is not finite, 74 when the state cannot be written, 130 when interrupted.
  package func run(
    _ weights: RouterWeights, state: TrainingState? = nil, savesEvery interval: Duration = .seconds(300),
    heard: (Step) throws -> Void
  ) throws {
    weights.forgetText(beyond: textTokens)
    var optimizer = AdamW(weights, weightDecay: options.weightDecay)
    if let steps = try state?.restore(weights, optimizer) { optimizer.resume(after: steps) }
    let rate = OneCycleRate(greatest: options.rate, steps: steps)
    let gradients = RouterWeights(zerosFor: routing)
    var saved = ContinuousClock.now
    while optimizer.steps < steps {
      try Interruption.check()
      let number = optimizer.steps
      let chosen = pictures(of: number)
      gradients.setToZero()
      let (loss, regret) = try addGradients(of: weights, on: chosen.map { samples[$0] }, to: gradients)
      let norm = gradients.norm
      guard loss.isFinite, norm.isFinite else {
        throw GristError(
          .badData, "training the router led to values that are not finite", found: "step \(number + 1)",
          advice: "train with a lower rate")
      }
      optimizer.step(
        weights, gradients, scale: Float(min(1, 1 / (norm + 1e-6))), rate: rate(number), compute)
      try heard(
        Step(
          number: number, pictures: Array(chosen), rate: rate(number), loss: loss, norm: norm, regret: regret))
      if let state, optimizer.steps < steps, ContinuousClock.now - saved >= interval {
        try state.save(weights, optimizer)
        saved = .now
      }
    }
    try state?.save(weights, optimizer)
  }

  /// Tokens of a prompt that count.
  var textTokens: Int { min(options.filteredTextTokens ?? routing.filteredTextTokens, routing.filteredTextTokens) }
}

/// One step's pictures and questions on their way through the router and back.
private struct BatchPass {
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

extension RouterWeights {
  /// Of all values together, as a vector.
  fileprivate var norm: Double {
    tensors.reduce(0.0) { sum, tensor in
      (0..<tensor.rows).reduce(sum) { sum, row in
        tensor.withRow(row) { $0.reduce(sum) { $0 + Double($1) * Double($1) } }
      }
    }.squareRoot()
  }

  /// Makes the voters of the prompt's tokens 0 but those of the first ones.
  fileprivate func forgetText(beyond count: Int) {
    let visual = routing.granularities.reduce(0, +)
    for place in visual + count..<max(voter.count, visual + count) { voter[0, place] = 0 }
  }
}
