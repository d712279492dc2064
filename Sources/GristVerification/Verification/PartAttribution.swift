import GristCore
import GristKernels
import GristModel
import GristSources

/// A part of the model that the router's choice depends on.
public enum DecidingPart: String, Sendable, CaseIterable {
  case tower, projector, embeddings, router

  /// What a part of the model is to the router; nil for one that its choice does not depend on.
  init?(_ part: ModelPart) {
    switch part {
    case .visionEmbeddings, .visionLayer: self = .tower
    case .projector: self = .projector
    case .tokenEmbeddings: self = .embeddings
    case .router: self = .router
    case .languageLayer, .head, .unused: return nil
    }
  }
}

extension MixedParameters {
  /// The reference with one part taken from the model under test, which is what is found fault with.
  init(
    reference: any ParameterStore, model: any ParameterStore, part: DecidingPart, of configuration: ModelConfiguration
  ) {
    let names = configuration.expectedTensors.filter { DecidingPart($0.part) == part }.map { ByteName($0.name) }
    self.init(reference: reference, model: model, names: Set(names), path: model.path)
  }
}

/// What one part's quantization alone does to the router.
public struct PartEffect: Sendable {
  public let part: DecidingPart
  /// Cases in which the choice differs, ties counted in.
  public let choicesChanged: Int
  /// Of those, where the reference's margin is no tie.
  public let changedBeyondTies: Int
  public let filterSetsChanged: Int
  public let filterOrdersChanged: Int
  /// Largest change of a router logit over all cases.
  public let largestLogitChange: Double
  /// How far the margin between the reference's first two grids moves, in the mean over all cases.
  public let meanMarginChange: Double
  public let cases: Int
}

/// Asks the router with each part in turn taken from `model` and the rest from `reference`, so that a flipped choice
/// can be traced to the part that flips it.
public func attributeRouterChanges(
  reference: any ParameterStore, model: any ParameterStore, record: ReferenceRecord, compute: Compute,
  tieMargin: Double = VerificationLimits().tieMargin, progress: (DecidingPart) -> Void = { _ in }
) throws -> [PartEffect] {
  let cases = record.cases.filter { $0.decision != nil }
  let configuration = try reference.source.configuration()
  return try DecidingPart.allCases.map { part in
    progress(part)
    let mixed = try VisionLanguageModel(
      MixedParameters(reference: reference, model: model, part: part, of: configuration), compute: compute)
    var images = ImageCache(mixed)
    var (choices, beyond, sets, orders, largest, margins) = (0, 0, 0, 0, 0.0, 0.0)
    for item in cases {
      try Interruption.check()
      guard let expected = item.decision,
        let decision = try mixed.prepare(
          item.question.conversation(clock: record.clock), images: images.features(of: item.question)
        ).decision
      else { continue }
      if let margin = expected.greatestMargin(against: decision.granularity) {
        choices += 1
        if Double(margin) >= tieMargin { beyond += 1 }
      }
      margins += Double(expected.marginChange(in: decision))
      let rankings = RankingComparison(expected, decision)
      if rankings?.haveEqualSets == false { sets += 1 }
      if rankings?.areEqual == false { orders += 1 }
      for (a, b) in zip(decision.scores, expected.scores) { largest = max(largest, Double(abs(a - b))) }
    }
    return PartEffect(
      part: part, choicesChanged: choices, changedBeyondTies: beyond, filterSetsChanged: sets,
      filterOrdersChanged: orders, largestLogitChange: largest, meanMarginChange: margins / Double(max(cases.count, 1)),
      cases: cases.count)
  }
}
