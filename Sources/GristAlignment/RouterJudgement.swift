import GristCore
import GristKernels
import GristModel
import GristSources

/// What a written file's router chooses on feedback, as it runs, and what its choices cost.
struct RouterJudgement {
  private let decide: @Sendable (FloatMatrix, Int, [FloatMatrix], Compute) throws -> [RouterDecision]
  private let model: VisionLanguageModel
  private let routing: GranularityRouting
  private let compute: Compute

  /// - Parameters:
  ///   - written: the file.
  ///   - model: whose embeddings are the file's.
  ///   - routing: of both.
  ///   - compute: runs the router.
  ///
  /// - Throws: 65 when a tensor is missing or has another shape.
  init(_ written: Source, _ model: VisionLanguageModel, _ routing: GranularityRouting, _ compute: Compute) throws {
    decide = try routing.pictureRouter(written.parameters(pool: compute.pool))
    (self.model, self.routing, self.compute) = (model, routing, compute)
  }

  func callAsFunction(
    _ folder: FeedbackFolder, _ progress: (Double, String) throws -> Void
  ) throws -> AlignmentReport.Judged {
    let pictures = try folder.pictures()
    let groups = RouterTraining.PictureFeedback.grouped(folder.feedback)
    let feedback = groups.flatMap(\.questions)
    var choices: [Int] = []
    for (number, group) in groups.enumerated() {
      try Interruption.check()
      try progress(Double(number) / Double(groups.count), "asking the aligned router")
      guard let (features, tiles) = pictures.features(of: group.picture) else { continue }
      let texts = try group.questions.map { try model.embed($0.text) }
      choices += try decide(features, tiles, texts, compute).map { $0.wholePicture?.index ?? 0 }
    }
    let count = routing.granularities.count
    let before = feedback.compactMap(\.choice)
    func mean(_ value: (QuestionFeedback) -> Double) -> Double {
      feedback.reduce(0.0) { $0 + value($1) } / Double(max(feedback.count, 1))
    }
    return AlignmentReport.Judged(
      questions: feedback.count, pictures: groups.count,
      losses: (0..<count).map { index in mean { $0.losses[index] } },
      visualTokens: (0..<count).map { index in mean { Double($0.visualTokens[index]) } },
      before: before.count == feedback.count
        ? AlignmentReport.Choices(before, feedback, granularities: count) : nil,
      after: AlignmentReport.Choices(choices, feedback, granularities: count))
  }
}
