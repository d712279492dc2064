import GristCore
import GristKernels
import GristModel
import GristSources
internal import RealModule

/// What a verification demands.
public struct VerificationLimits: Sendable, Equatable {
  /// A choice that differs is a tie, reported but not held against the model, when the reference's two greatest logits
  /// were closer than this.
  public var tieMargin: Double
  /// The largest mean KL divergence that passes, in nats a token.
  public var maximumMeanKL: Double
  /// Whether a model that has a router passes only when choices were tested.
  public var requiresChoices: Bool
  /// Whether a model passes only when it was made from the reference's own weights.
  public var requiresSameWeights: Bool

  public init(
    tieMargin: Double = 0.02, maximumMeanKL: Double = 0.05, requiresChoices: Bool = true,
    requiresSameWeights: Bool = true
  ) {
    self.tieMargin = tieMargin
    self.maximumMeanKL = maximumMeanKL
    self.requiresChoices = requiresChoices
    self.requiresSameWeights = requiresSameWeights
  }
}

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
    /// What the model said when it could not answer, because it computed a value that is not finite; nil when it did.
    public let failure: String?

    public init(
      reference: ReferenceRecord.Case, decision: RouterDecision?, divergences: [Divergence],
      greedyMatch: Int, grid: TokenGrid? = nil, failure: String? = nil
    ) {
      self.reference = reference
      self.decision = decision
      self.divergences = divergences
      self.greedyMatch = greedyMatch
      self.grid = grid
      self.failure = failure
    }

    public enum Choice: String, Sendable { case agrees, tie, differs, none }

    public func choice(tieMargin: Double) -> Choice {
      if failure != nil { return .differs }
      guard let expected = reference.decision else { return decision == nil ? .none : .differs }
      guard let decision else { return .differs }
      // Among logits that are not numbers there is no greatest one, and so no choice that could agree.
      guard expected.isFinite, decision.isFinite else { return .differs }
      if decision.choice == expected.choice { return .agrees }
      return Double(expected.margin) < tieMargin ? .tie : .differs
    }

    /// Whether the choice differs, by more than a tie, where the reference's own does not hold in coarser arithmetic.
    public func differsWhereNotHeld(tieMargin: Double) -> Bool {
      choice(tieMargin: tieMargin) == .differs && failure == nil && reference.holdsChoice == false
    }

    public var filterSetEqual: Bool? {
      guard let expected = reference.decision, let decision else { return nil }
      return Set(expected.filterOrder) == Set(decision.filterOrder)
    }

    public var filterOrderEqual: Bool? {
      guard let expected = reference.decision, let decision else { return nil }
      return expected.filterOrder == decision.filterOrder
    }

    public var kl: DivergenceSummary { DivergenceSummary(divergences.map(\.kl)) }
  }

  public let model: String
  public let reference: String
  /// What the reference's own weights had lost since upstream; nil for upstream's own.
  public let referenceLoss: String?
  public let limits: VerificationLimits
  public let cases: [Case]
  /// Whether the model has choices to make about pictures.
  public let hasRouter: Bool
  /// Set when the reference's weights were at hand; a record has none.
  public var weights: WeightComparison?
  /// Whether choices cannot differ, on any question; nil where there are none, or the model is the checkpoint itself.
  public var hasExactChoices: Bool?

  public init(
    model: String, reference: String, referenceLoss: String? = nil, limits: VerificationLimits, cases: [Case],
    hasRouter: Bool = false
  ) {
    self.hasRouter = hasRouter
    self.model = model
    self.reference = reference
    self.referenceLoss = referenceLoss
    self.limits = limits
    self.cases = cases
  }

  public func count(_ choice: Case.Choice) -> Int {
    cases.filter { $0.choice(tieMargin: limits.tieMargin) == choice }.count
  }

  /// Choices that differ by more than a tie, though the reference itself does not hold them in coarser arithmetic: counted among
  /// those that differ.
  public var differingWhereNotHeld: Int {
    cases.filter { $0.differsWhereNotHeld(tieMargin: limits.tieMargin) }.count
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
      let changed = tried.filter { $0.rounded[rounding] != $0.decision?.choice }
      guard !tried.isEmpty else { return nil }
      return Floor(
        rounding: rounding, tried: tried.count, changed: changed.count,
        beyondTies: changed.filter { Double($0.decision?.margin ?? .infinity) >= limits.tieMargin }.count)
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

  /// How many tokens each seems to choose from on average, over the reference's tokens: exp of the mean surprisal. Nil when there
  /// was none.
  public var perplexity: (reference: Double, model: Double)? {
    let surprisals = cases.flatMap { $0.divergences.compactMap(\.surprisal) }
    guard !surprisals.isEmpty else { return nil }
    return (.exp(mean(surprisals.map(\.reference))), .exp(mean(surprisals.map(\.model))))
  }

  private func mean(_ values: [Double]) -> Double {
    values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
  }

  /// Why the model does not pass, one sentence each; empty when it does.
  public var objections: [String] {
    var objections: [String] = []
    if cases.isEmpty { objections.append("there was nothing to compare") }
    if hasRouter, decided == 0, limits.requiresChoices {
      objections.append(
        "no router choice was tested, as no question had a picture: ask about pictures, or have the text alone verified "
          + "(--text-only)")
    }
    let failures = cases.compactMap(\.failure)
    if let first = failures.first {
      objections.append("the model could not answer \(failures.count) of \(cases.count) cases: \(first)")
    }
    let broken = cases.filter { !$0.reference.isFinite }.count
    if broken > 0 {
      objections.append(
        "the reference's own logits or margins are not finite in \(broken) of \(cases.count) cases: it proves nothing")
    }
    let undecided = cases.filter { $0.failure == nil && $0.decision?.isFinite == false }.count
    if undecided > 0 {
      objections.append("the model's router logits are not finite in \(undecided) of \(cases.count) cases")
    }
    let differing = count(.differs)
    if differing > 0 {
      objections.append(
        "the router chose differently in \(differing) of \(decided) cases, by more than a tie"
          + (differingWhereNotHeld > 0
            ? "; in \(differingWhereNotHeld) of them the reference does not hold its own choice in coarser arithmetic"
            : ""))
    }
    // Written so that a divergence that is not a number fails too.
    if !(kl.mean <= limits.maximumMeanKL) {
      objections.append(
        "the mean KL divergence is \(NumberText.significant(kl.mean)), above \(NumberText.significant(limits.maximumMeanKL))"
      )
    }
    if let weights, limits.requiresSameWeights {
      if let worst = weights.rejected.max(by: { $0.relativeError - $0.limit < $1.relativeError - $1.limit }) {
        objections.append(
          "\(weights.rejected.count) of \(weights.tensors.count) tensors are not the reference's: \(worst.name) is "
            + "\(NumberText.significant(worst.relativeError)) off, \(NumberText.significant(worst.limit)) at most was expected"
        )
      }
      if weights.rejected.isEmpty, weights.origin == .other {
        objections.append(
          "the model was made from other weights than the reference: their fingerprints differ, and no cast without loss "
            + "explains it (--other-weights compares all the same)")
      }
      if let name = weights.missing.first {
        objections.append("\(weights.missing.count) of the reference's tensors are not there, \(name) among them")
      }
    }
    return objections
  }

  public var passed: Bool { objections.isEmpty }

  /// What the verdict says nothing about, one phrase each.
  public var notTested: [String] {
    var gaps: [String] = []
    if hasRouter, decided == 0 { gaps.append("router choices, as no question had a picture") }
    if cases.allSatisfy(\.divergences.isEmpty) { gaps.append("outputs, as there was none to compare") }
    if weights == nil { gaps.append("the stored weights, as a record has none to compare with") }
    return gaps
  }

  /// The case whose outputs are farthest from the reference's; nil where none has any.
  public var worstCase: Case? {
    // A divergence that is not a number is the worst there is.
    cases.filter { !$0.divergences.isEmpty }.max {
      ($0.kl.mean.isNaN ? .infinity : $0.kl.mean) < ($1.kl.mean.isNaN ? .infinity : $1.kl.mean)
    }
  }
}

extension VerificationReport.Case {
  /// Positions at which both have the same most likely token.
  public var agreeingOnTop: Int { divergences.filter(\.agreesOnTop).count }
}

extension [Int] {
  /// Whether some ids stand in a row among these.
  fileprivate func contains(ids: ArraySlice<Int>) -> Bool { firstRange(of: ids) != nil }
}

extension VisionLanguageModel {
  /// Compares this model with a reference's answers. The router decides for itself; the outputs are then compared at the
  /// reference's granularity, teacher-forced on its greedy tokens, so that a choice that differs and weights that differ
  /// show as two figures and not as one.
  ///
  /// - Throws: 65 when the record was made with another tokenizer, vocabulary or set of granularities.
  public func verify(
    against record: ReferenceRecord, limits: VerificationLimits, progress: (Int) -> Void = { _ in }
  ) throws -> VerificationReport {
    var images = ImageCache(self)
    let cases = try record.cases.enumerated().map { index, reference in
      try Interruption.check()
      progress(index)
      do {
        return try compare(reference, clock: record.clock, images: &images)
      } catch let error as GristError where error.tellsOfValueNotFinite {
        // A finding about the model, not a fault of the verification: the other cases are still worth asking.
        return VerificationReport.Case(
          reference: reference, decision: nil, divergences: [], greedyMatch: 0, failure: error.what)
      }
    }
    return VerificationReport(
      model: path, reference: record.source, referenceLoss: record.loss, limits: limits, cases: cases,
      hasRouter: configuration.vision?.usesRouter == true)
  }

  private func grid(_ image: ImageFeatures?, _ prompt: PreparedPrompt) throws -> TokenGrid? {
    guard let image, let granularity = prompt.granularity else { return nil }
    return try tokenGrid(of: image, granularity: granularity)
  }

  private func compare(
    _ reference: ReferenceRecord.Case, clock: ChatProgram.Clock?, images: inout ImageCache
  ) throws -> VerificationReport.Case {
    let probe = reference.probe
    let conversation = try Conversation(message: probe.prompt, hasImage: probe.imageBytes != nil, clock: clock)
    let image = try images.features(of: probe)
    let own = try prepare(conversation, image: image)
    guard own.inputIDs == reference.inputIDs else {
      // Where the question itself became the same ids, it is what stands around it that differs.
      let question = try tokenizer.encode(probe.prompt, isStart: false)
      let sharesWords = question.count > 2 && reference.inputIDs.contains(ids: question.dropFirst().dropLast())
      throw GristError(
        .badData,
        sharesWords
          ? "the model's template writes a conversation down otherwise than the reference's"
          : "the model tokenizes a prompt otherwise than the reference did", file: path, found: probe.prompt,
        advice: sharesWords ? "give the reference's template with --template" : "compare models with the same tokenizer"
      )
    }
    let prompt =
      own.granularity == reference.granularity
      ? own : try prepare(conversation, image: image, granularity: reference.granularity)
    let session = try start(prompt, newTokens: reference.tokens.count)
    var divergences: [Divergence] = []
    var greedyMatch = 0
    for (index, token) in reference.tokens.enumerated() {
      guard reference.logits[index].count == session.logits.count else {
        throw GristError(
          .badData, "the reference has another vocabulary", file: path,
          found: "\(reference.logits[index].count) logits against \(session.logits.count)")
      }
      let divergence = Divergence(reference: reference.logits[index], model: session.logits, token: token)
      divergences.append(divergence)
      if greedyMatch == index, divergence.agreesOnTop { greedyMatch += 1 }
      if index + 1 < reference.tokens.count { try session.advance(token) }
    }
    return VerificationReport.Case(
      reference: reference, decision: own.decision, divergences: divergences, greedyMatch: greedyMatch,
      grid: try grid(image, own))
  }
}
