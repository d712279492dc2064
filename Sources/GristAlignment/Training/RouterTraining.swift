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
