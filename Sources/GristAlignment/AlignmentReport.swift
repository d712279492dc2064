import GristCore

/// What aligning a router did.
public struct AlignmentReport: Sendable {
  /// How a router chooses on some questions.
  public struct Choices: Sendable {
    /// How often each granularity is chosen, in the configuration's order.
    public let counts: [Int]
    /// Mean loss at the choice, and at the choice less the least.
    public let loss: Double
    public let regret: Double
    /// Mean rows of the prompt that show the picture.
    public let visualTokens: Double

    /// - Precondition: There are as many choices as questions.
    init(_ choices: [Int], _ feedback: [QuestionFeedback], granularities: Int) {
      precondition(choices.count == feedback.count)
      let questions = Double(max(choices.count, 1))
      var counts = [Int](repeating: 0, count: granularities)
      var (loss, regret, tokens) = (0.0, 0.0, 0)
      for (choice, item) in zip(choices, feedback) {
        counts[choice] += 1
        loss += item.losses[choice]
        regret += item.losses[choice] - (item.losses.min() ?? 0)
        tokens += item.visualTokens[choice]
      }
      (self.counts, self.loss, self.regret) = (counts, loss / questions, regret / questions)
      visualTokens = Double(tokens) / questions
    }

    var json: JSONValue {
      [
        "counts": JSONValue(counts), "loss": JSONValue(loss), "regret": JSONValue(regret),
        "visual_tokens": JSONValue(visualTokens),
      ]
    }
  }

  /// The router on the questions of one file.
  public struct Judged: Sendable {
    public let questions: Int
    public let pictures: Int
    /// Mean loss at each granularity, and mean rows that show the picture.
    public let losses: [Double]
    public let visualTokens: [Double]
    /// Of the file's own router; nil where it knows other granularities.
    public let before: Choices?
    public let after: Choices

    var json: JSONValue {
      [
        "questions": JSONValue(questions), "pictures": JSONValue(pictures),
        "losses": .array(losses.map { JSONValue($0) }),
        "visual_tokens": .array(visualTokens.map { JSONValue($0) }), "before": before?.json ?? .null,
        "after": after.json,
      ]
    }
  }

  public let output: String
  public let byteCount: Int
  public let granularities: [Int]
  /// Of the questions that it learned from, and of those that it did not, where some were given.
  public let learned: Judged
  public let unseen: Judged?
  /// Values that were trained.
  public let parameters: Int
  public let steps: Int
  /// Seconds of all steps that were made now, and how many those were.
  public let trainingSeconds: Double
  public let stepsNow: Int
  public let digest: String

  public var json: JSONValue {
    [
      "output": JSONValue(output), "bytes": JSONValue(byteCount), "granularities": JSONValue(granularities),
      "learned": learned.json, "unseen": unseen?.json ?? .null, "parameters": JSONValue(parameters),
      "steps": JSONValue(steps), "training_s": JSONValue(trainingSeconds), "steps_now": JSONValue(stepsNow),
      "router": JSONValue(digest),
    ]
  }
}
