/// Answers to questions of yes and no.
public struct YesNo: Sendable, Equatable {
  /// Counts by what was right and what was said: yes is positive.
  public private(set) var truePositives = 0
  public private(set) var falsePositives = 0
  public private(set) var trueNegatives = 0
  public private(set) var falseNegatives = 0

  /// Whether an answer means yes: LLaVA's `eval_pope.py` takes all for yes whose first sentence has none of the words no,
  /// No and not.
  static func means(_ answer: String) -> Bool {
    let sentence = answer.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false).first ?? ""
    let words = sentence.filter { $0 != "," }.split(separator: " ", omittingEmptySubsequences: false)
    return !words.contains { $0 == "No" || $0 == "not" || $0 == "no" }
  }

  mutating func count(_ answer: String, right: Bool) {
    switch (Self.means(answer), right) {
    case (true, true): truePositives += 1
    case (true, false): falsePositives += 1
    case (false, false): trueNegatives += 1
    case (false, true): falseNegatives += 1
    }
  }

  /// Of what was called yes, how much is; 0 where nothing was.
  public var precision: Double { ratio(truePositives, truePositives + falsePositives) }
  /// Of what is yes, how much was called so; 0 where nothing is.
  public var recall: Double { ratio(truePositives, truePositives + falseNegatives) }
  /// Harmonic mean of the two.
  public var f1: Double { precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0 }
  /// How much was called yes.
  public var yesRatio: Double {
    let yes = truePositives + falsePositives
    return ratio(yes, yes + trueNegatives + falseNegatives)
  }

  private func ratio(_ a: Int, _ b: Int) -> Double { b > 0 ? Double(a) / Double(b) : 0 }
}
