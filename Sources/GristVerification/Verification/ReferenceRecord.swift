import GristCore
import GristKernels
import GristModel
import GristSources
import GristTemplates

/// What a reference model answered to some questions, in all the detail that a verification compares. ``Recording``
/// makes one.
public struct ReferenceRecord: Sendable {
  public struct Case: Sendable {
    public let question: Question
    public let inputIDs: [Int]
    /// Nil without an image or without a router.
    public let decision: RouterDecision?
    /// What the same weights choose when they are rounded to another type and every result with them; empty where that
    /// was not asked.
    public var rounded: [Compute.Rounding: RoundedChoice] = [:]
    /// What the same weights choose in int8; nil where that was not asked.
    public var int8Choice: Int8Choice?
    /// What the tiles became that the outputs were computed with; nil without an image.
    public let granularity: Granularity?
    public let sequenceLength: Int
    /// Greedy tokens, up to the end token (which is included when it came) or the limit; of a question that brings its
    /// answer, the answer's.
    public let tokens: [Int]
    /// The logits before each of the tokens, or what is kept of them.
    public let logits: [KeptLogits]

    public init(
      question: Question, inputIDs: [Int], decision: RouterDecision?, granularity: Granularity?, sequenceLength: Int,
      tokens: [Int], logits: [KeptLogits]
    ) {
      self.question = question
      self.inputIDs = inputIDs
      self.decision = decision
      self.granularity = granularity
      self.sequenceLength = sequenceLength
      self.tokens = tokens
      self.logits = logits
    }

    /// Whether the reference itself chooses the same in every arithmetic that was tried; nil where none was.
    public var holdsChoice: Bool? {
      guard let decision, !rounded.isEmpty else { return nil }
      return rounded.values.allSatisfy { $0 == .granularity(decision.granularity) }
    }

    /// The greatest margin of a choice that coarser arithmetic makes otherwise; that of the decision where it makes
    /// none.
    func marginOfChange(in rounding: Compute.Rounding) -> Float {
      guard let decision else { return .infinity }
      guard case .granularity(let other) = rounded[rounding] else { return decision.margin }
      return decision.greatestMargin(against: other) ?? decision.margin
    }

    /// The same with the `greatest` logits of each token alone.
    public func keeping(greatest: Int) -> Case {
      var copy = Case(
        question: question, inputIDs: inputIDs, decision: decision, granularity: granularity,
        sequenceLength: sequenceLength, tokens: tokens,
        logits: zip(logits, tokens).map { logits, token in
          logits.ids == nil ? KeptLogits(logits.values, greatest: greatest, and: token) : logits
        })
      copy.rounded = rounded
      copy.int8Choice = int8Choice
      return copy
    }

    /// Whether every logit and the margin of the router's choice are numbers.
    public var isFinite: Bool {
      decision?.isFinite ?? true && logits.allSatisfy(\.isFinite)
    }
  }

  /// The weights it was made from.
  public let fingerprint: String
  /// Path of the model that made it, for people.
  public let source: String
  /// What the weights that made it had lost since upstream; nil when they were upstream's, value for value.
  public let loss: String?
  /// The day that templates were told which write it down; nil in a record that does not say.
  public let clock: ChatProgram.Clock?
  /// The name of the template that conversations were written down by, `own` for one that came with the model; nil in
  /// a record that does not say.
  public let template: String?
  /// Whether grids were cropped by their cells' own shape, other than upstream does it.
  public let correctsUnpadding: Bool
  /// Digest of the router that was trained anew; nil where choices are upstream's, but for what storing it lost.
  public let alignment: String?
  public let cases: [Case]
  /// Which part of a longer list of questions it answers; nil for the whole.
  public let part: Part?

  public init(
    fingerprint: String, source: String, loss: String? = nil, clock: ChatProgram.Clock? = nil, template: String? = nil,
    correctsUnpadding: Bool = false, alignment: String? = nil, cases: [Case], part: Part? = nil
  ) {
    self.correctsUnpadding = correctsUnpadding
    self.alignment = alignment
    self.part = part
    self.fingerprint = fingerprint
    self.source = source
    self.loss = loss
    self.clock = clock
    self.template = template
    self.cases = cases
  }
}

extension ReferenceRecord.Case {
  /// What a router chooses in coarser arithmetic.
  public enum RoundedChoice: Sendable, Equatable {
    case granularity(Granularity)
    /// Nothing: a value leaves the type's range.
    case notFinite
  }
}
