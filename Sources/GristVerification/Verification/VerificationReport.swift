import GristCore
import GristKernels
import GristModel
internal import RealModule

/// How a model compares with a reference, case by case and in sum.
public struct VerificationReport: Sendable {
  public struct Case: Sendable {
    public let reference: ReferenceRecord.Case
    /// The model's own decision; nil when there is nothing to decide.
    public let decision: RouterDecision?
    /// One for each of the reference's tokens.
    public let divergences: [Divergence]
    /// Leading positions at which the model, decoding greedily, would have chosen what the reference would have.
    public let greedyMatch: Int
    /// What the visual tokens of the model's own choice stand for; nil without a picture.
    public let grid: TokenGrid?
    /// Both answers as text; nil where nothing was answered.
    public let answers: Answers?
    /// What the model said when it could not answer, because it computed a value that is not finite; nil when it did.
    public let failure: String?

    package init(
      reference: ReferenceRecord.Case, decision: RouterDecision?, divergences: [Divergence],
      greedyMatch: Int, grid: TokenGrid? = nil, answers: Answers? = nil, failure: String? = nil
    ) {
      self.reference = reference
      self.decision = decision
      self.divergences = divergences
      self.greedyMatch = greedyMatch
      self.grid = grid
      self.answers = answers
      self.failure = failure
    }

    /// How the model's choices stand to the reference's.
    public enum Agreement: String, Sendable {
      case agrees
      /// Choices differ only where the reference itself was close to another one.
      case tie
      case differs
      /// Choices are not compared: one of the routers was trained anew.
      case aligned
      /// There was nothing to choose.
      case none
    }

    /// - Parameter tieMargin: a choice that differs is a tie where the reference's margin is below this.
    public func agreement(tieMargin: Double) -> Agreement {
      if failure != nil { return .differs }
      guard let expected = reference.decision else { return decision == nil ? .none : .differs }
      guard let decision else { return .differs }
      // Among logits that are not numbers there is no greatest one, and so no choice that could agree.
      guard expected.isFinite, decision.isFinite else { return .differs }
      guard let margin = expected.greatestMargin(against: decision.granularity) else { return .agrees }
      return Double(margin) < tieMargin ? .tie : .differs
    }

    /// Whether the choice differs, by more than a tie, where the reference's own does not hold in coarser arithmetic.
    public func differsWhereNotHeld(tieMargin: Double) -> Bool {
      agreement(tieMargin: tieMargin) == .differs && failure == nil && reference.holdsChoice == false
    }

    /// What both routers looked at; nil where nothing was ranked.
    var rankings: RankingComparison? {
      guard let expected = reference.decision, let decision else { return nil }
      return RankingComparison(expected, decision)
    }

    /// Whether the text filter kept the same tokens; nil without one.
    public var filterSetEqual: Bool? { rankings?.haveEqualSets }

    /// Whether it kept them in the same order, too; nil without one.
    public var filterOrderEqual: Bool? { rankings?.areEqual }

    public var kl: DivergenceSummary { DivergenceSummary(divergences.map(\.kl)) }
  }

  /// How many logits of each token the reference keeps, where it does not keep all: divergences are the greatest that
  /// they can be then.
  public var keptLogits: Int? { cases.lazy.compactMap { $0.reference.logits.first?.ids?.count }.first }

  /// The least that the mean divergence can be; its value where the reference keeps all logits.
  public var leastMeanKL: Double { DivergenceSummary(cases.flatMap { $0.divergences.map(\.klAtLeast) }).mean }

  public let model: VerifiedSide
  public let reference: VerifiedSide
  /// When, in universal time: `2026-07-31T12:00:00Z`.
  public let date: String
  /// The kernels that computed, and how activations were kept.
  public let arithmetic: String
  /// What the reference's own weights had lost since upstream; nil for upstream's own.
  public let referenceLoss: String?
  public let limits: VerificationLimits
  public let cases: [Case]
  /// Whether the model has choices to make about pictures.
  public let hasRouter: Bool
  /// How the stored weights compare; nil for a record as reference, which has none.
  public let weights: WeightComparison?
  /// How one of the routers was trained anew, where choices are not compared for that; nil where they are.
  public let ownAlignment: String?
  /// Whether choices cannot differ, on any question; nil where there are none, or the model is the checkpoint itself.
  public let hasExactChoices: Bool?
  /// What each part of the model alone does to the router; empty where that was not asked for.
  public let parts: [PartEffect]

  package init(
    model: VerifiedSide, reference: VerifiedSide, date: String = "", arithmetic: String = "",
    referenceLoss: String? = nil, limits: VerificationLimits, cases: [Case], hasRouter: Bool = false,
    weights: WeightComparison? = nil, ownAlignment: String? = nil, hasExactChoices: Bool? = nil,
    parts: [PartEffect] = []
  ) {
    self.date = date
    self.arithmetic = arithmetic
    self.model = model
    self.reference = reference
    self.referenceLoss = referenceLoss
    self.limits = limits
    self.cases = cases
    self.hasRouter = hasRouter
    self.weights = weights
    self.ownAlignment = ownAlignment
    self.hasExactChoices = hasExactChoices
    self.parts = parts
  }

  public func count(_ agreement: Case.Agreement) -> Int { cases.count { self.agreement(of: $0) == agreement } }

  /// How a case's choice stands to the reference's, as far as the two routers can be compared.
  public func agreement(of item: Case) -> Case.Agreement {
    let agreement = item.agreement(tieMargin: limits.tieMargin)
    guard ownAlignment != nil, item.failure == nil, item.decision != nil, agreement != .none else { return agreement }
    return .aligned
  }

  /// Choices that are the reference's, whether or not they are compared.
  public var sameChoices: Int {
    cases.count { $0.agreement(tieMargin: limits.tieMargin) == .agrees }
  }

  /// Whether the router looks at some of the prompt's tokens only, as AVG-LLaVA's does.
  public var hasTextFilter: Bool { cases.contains { $0.rankings != nil } }
  /// Cases in which the text filter kept the same tokens.
  public var filterSetsEqual: Int { cases.count { $0.filterSetEqual == true } }
  /// Cases in which it kept them in the same order.
  public var filterOrdersEqual: Int { cases.count { $0.filterOrderEqual == true } }
  /// Tokens at which outputs were compared.
  public var positions: Int { cases.reduce(0) { $0 + $1.divergences.count } }

  /// Choices that differ by more than a tie, though the reference itself does not hold them in coarser arithmetic:
  /// counted among those that differ.
  public var differingWhereNotHeld: Int {
    ownAlignment == nil ? cases.count { $0.differsWhereNotHeld(tieMargin: limits.tieMargin) } : 0
  }

  /// How the reference's own choices stand coarser arithmetic.
  public struct Floor: Sendable, Equatable {
    public let rounding: Compute.Rounding
    /// Choices that were tried.
    public let tried: Int
    public let changed: Int
    /// Of those changed, where the reference's margin is no tie.
    public let beyondTies: Int
  }

  /// One for each arithmetic that the reference was tried in; empty where it was tried in none.
  public var floors: [Floor] {
    Compute.Rounding.allCases.compactMap { rounding in
      let tried = cases.map(\.reference).filter { $0.decision != nil && $0.rounded[rounding] != nil }
      let changed = tried.filter { $0.rounded[rounding] != $0.decision.map { .granularity($0.granularity) } }
      guard !tried.isEmpty else { return nil }
      return Floor(
        rounding: rounding, tried: tried.count, changed: changed.count,
        beyondTies: changed.filter { Double($0.marginOfChange(in: rounding)) >= limits.tieMargin }.count)
    }
  }

  /// Cases in which there was a choice to make.
  public var decided: Int { cases.count - count(.none) }
  public var kl: DivergenceSummary { DivergenceSummary(cases.flatMap { $0.divergences.map(\.kl) }) }
  public var top1Agreement: Double { mean(cases.flatMap { $0.divergences.map { $0.agreesOnTop ? 1 : 0 } }) }
  public var greedyMatchMean: Double { mean(cases.map { Double($0.greedyMatch) }) }
  public var largestLogitDifference: Double {
    cases.flatMap { $0.divergences.map(\.largestLogitDifference) }.max() ?? 0
  }

  /// How many tokens each seems to choose from on average, over the reference's tokens: exp of the mean surprisal. Nil
  /// when there was none.
  public var perplexity: (reference: Double, model: Double)? {
    let surprisals = cases.flatMap { $0.divergences.compactMap(\.surprisal) }
    guard !surprisals.isEmpty else { return nil }
    return (.exp(mean(surprisals.map(\.reference))), .exp(mean(surprisals.map(\.model))))
  }

  private func mean(_ values: [Double]) -> Double {
    values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
  }
}

extension VerificationReport.Case {
  /// What both said, each by itself.
  public struct Answers: Sendable, Equatable {
    public let reference: String
    public let model: String

    public init(reference: String, model: String) {
      self.reference = reference
      self.model = model
    }
  }

  /// Positions at which both have the same most likely token.
  public var agreeingOnTop: Int { divergences.filter(\.agreesOnTop).count }
}
