import GristCore
import GristKernels
import GristModel
import GristSources

/// Asks routers about the same questions, and holds their choices to the reference's.
final class ChoiceAsking {
  private let questions: [Question]
  private let tieMargin: Double
  /// The reference's, a question each.
  let expected: [RouterDecision]
  let compute: Compute

  /// - Parameters:
  ///   - source: the reference, which is asked now.
  ///   - questions: about pictures.
  ///   - tieMargin: a choice that differs is a tie where the reference's margin is below this.
  ///   - pool: computes.
  ///   - progress: hears the fraction done.
  ///
  /// - Throws: 64 for a model without a router and a question without a picture; what running the model throws.
  init(
    _ source: Source, _ questions: [Question], tieMargin: Double, pool: ThreadPool, progress: (Double) throws -> Void
  ) throws {
    self.questions = questions
    self.tieMargin = tieMargin
    compute = Compute(pool: pool)
    let reference = try source.model(compute: compute)
    guard reference.configuration.vision?.usesRouter == true else {
      throw GristError(.usage, "the model has no router whose choices could be guarded", file: source.path)
    }
    if let bare = questions.first(where: \.pictures.isEmpty) {
      throw GristError(
        .usage, "a question to guard choices by has no picture", found: bare.prompt,
        advice: "without one the router is not asked")
    }
    expected = try Self.decisions(reference, questions, Array(questions.indices), progress)
  }

  private static func decisions(
    _ model: VisionLanguageModel, _ questions: [Question], _ indices: [Int], _ progress: (Double) throws -> Void
  ) throws -> [RouterDecision] {
    var seen: (picture: Bytes, features: VisionLanguageModel.ImageFeatures)?
    return try indices.enumerated().map { done, index in
      try Interruption.check()
      try progress(Double(done) / Double(indices.count))
      let question = questions[index]
      let picture = question.pictures[0]
      let features: VisionLanguageModel.ImageFeatures
      if let seen, seen.picture.elementsEqual(picture.bytes) {
        features = seen.features
      } else {
        features = try model.encode(model.picture(encoded: picture.bytes, name: picture.name))
        seen = (picture.bytes, features)
      }
      let conversation = try question.conversation(clock: CalibrationFormat.clock)
      guard let decision = try model.prepare(conversation, image: features).decision else {
        throw GristError(.badData, "the router did not decide", file: model.path, found: question.prompt)
      }
      return decision
    }
  }

  /// What a model decides on some of the questions.
  func decisions(
    _ model: VisionLanguageModel, on indices: [Int], _ progress: (Double) throws -> Void = { _ in }
  ) throws -> [RouterDecision] {
    try Self.decisions(model, questions, indices, progress)
  }

  /// Of some questions those on which a model decides otherwise, and those of them beyond ties.
  func changed(
    _ model: VisionLanguageModel, on indices: [Int]? = nil, _ progress: (Double) throws -> Void = { _ in }
  ) throws -> (all: [Int], beyondTies: [Int]) {
    let asked = indices ?? Array(questions.indices)
    var (all, beyond) = ([Int](), [Int]())
    for (index, decision) in zip(asked, try decisions(model, on: asked, progress)) {
      guard let margin = expected[index].greatestMargin(against: decision.granularity) else { continue }
      all.append(index)
      if Double(margin) >= tieMargin { beyond.append(index) }
    }
    return (all, beyond)
  }
}
