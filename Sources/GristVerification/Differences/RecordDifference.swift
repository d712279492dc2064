import GristCore
import GristKernels
import GristModel

/// In what two records of answers differ.
public struct RecordDifference: Sendable {
  public struct Case: Sendable {
    public let question: Question
    /// What each side answered; nil where it was not asked.
    public let first: ReferenceRecord.Case?
    public let second: ReferenceRecord.Case?
    /// Tokens that both answers begin with.
    public let sharedTokens: Int
    /// The largest difference of logits, and the mean KL divergence, where both answered after the same tokens.
    public let largestLogitDifference: Double
    public let meanDivergence: Double

    /// Whether both tokenized the question alike, chose alike and said the same.
    public var isAlike: Bool {
      guard let first, let second else { return false }
      return first.inputIDs == second.inputIDs && first.granularity == second.granularity
        && first.decision?.granularity == second.decision?.granularity && first.tokens == second.tokens
    }
  }

  /// Whether both were made from the same weights.
  public let haveSameFingerprint: Bool
  /// In the first record's order, then what only the second was asked.
  public let cases: [Case]

  /// Questions are the same where picture and prompt are; of several alike the first is met with the first.
  ///
  /// - Throws: 65 when the records are of different vocabularies.
  public init(_ first: ReferenceRecord, _ second: ReferenceRecord) throws {
    haveSameFingerprint = first.fingerprint == second.fingerprint
    var left = second.cases
    var cases: [Case] = []
    for item in first.cases {
      let index = left.firstIndex { $0.question == item.question }
      cases.append(try Case(item, index.map { left.remove(at: $0) }))
    }
    self.cases = try cases + left.map { try Case(nil, $0) }
  }

  /// Cases that are not alike.
  public var differing: [Case] { cases.filter { !$0.isAlike } }
}

extension RecordDifference.Case {
  fileprivate init(_ first: ReferenceRecord.Case?, _ second: ReferenceRecord.Case?) throws {
    self.first = first
    self.second = second
    question = first?.question ?? second?.question ?? Question(prompt: "")
    let (ours, theirs) = (first?.tokens ?? [], second?.tokens ?? [])
    sharedTokens = zip(ours, theirs).prefix { $0 == $1 }.count
    // The logits behind the tokens that both had before them.
    let compared = min(sharedTokens + 1, ours.count, theirs.count)
    var divergences: [Divergence] = []
    var largest = 0.0
    for (a, b) in zip((first?.logits ?? []).prefix(compared), (second?.logits ?? []).prefix(compared)) {
      guard a.count == b.count else {
        throw GristError(
          .badData, "the records are of different vocabularies", found: "\(a.count) logits against \(b.count)")
      }
      largest = a.shared(with: b).reduce(largest) { max($0, abs(Double($1.0) - Double($1.1))) }
      // Without all of the second's logits there is nothing to hold the first's to.
      if b.ids == nil { divergences.append(Divergence(reference: a, model: b.values)) }
    }
    largestLogitDifference = largest
    meanDivergence = divergences.isEmpty ? 0 : divergences.reduce(0) { $0 + $1.kl } / Double(divergences.count)
  }
}
