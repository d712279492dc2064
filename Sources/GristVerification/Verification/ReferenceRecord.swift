import GristCore
import GristKernels
import GristModel
import GristSources

/// What a reference model answered to some questions, in all the detail that a verification compares.
public struct ReferenceRecord: Sendable {
  public struct Case: Sendable {
    public let question: Question
    public let inputIDs: [Int]
    /// Nil without an image or without a router.
    public let decision: RouterDecision?
    /// What the same weights choose when they are rounded to another type and every result with them, tokens a tile; empty where
    /// that was not asked.
    public var rounded: [Compute.Rounding: RoundedChoice] = [:]
    /// Tokens a tile that the outputs were computed with; nil without an image.
    public let granularity: Int?
    public let sequenceLength: Int
    /// Greedy tokens, up to the end token (which is included when it came) or the limit; of a question that brings its answer, the
    /// answer's.
    public let tokens: [Int]
    /// The logits before each of the tokens.
    public let logits: [[Float]]

    public init(
      question: Question, inputIDs: [Int], decision: RouterDecision?, granularity: Int?, sequenceLength: Int,
      tokens: [Int],
      logits: [[Float]]
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
      return rounded.values.allSatisfy { $0 == .granularity(decision.choice) }
    }

    /// Whether every logit and the margin of the router's choice are numbers.
    public var isFinite: Bool {
      decision?.isFinite ?? true && logits.allSatisfy { $0.allSatisfy(\.isFinite) }
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
  public let cases: [Case]

  public init(
    fingerprint: String, source: String, loss: String? = nil, clock: ChatProgram.Clock? = nil, cases: [Case]
  ) {
    self.fingerprint = fingerprint
    self.source = source
    self.loss = loss
    self.clock = clock
    self.cases = cases
  }
}

extension VisionLanguageModel {
  /// Answers questions greedily, or reads the answers that they bring, and keeps everything. Templates that write the day down are
  /// told `clock`. `progress` hears how many are done.
  ///
  /// - Throws: What running the model throws, 65 when a question's answer has no token.
  public func record(
    _ questions: [Question], maxNewTokens: Int, clock: ChatProgram.Clock? = nil, progress: (Int) -> Void = { _ in }
  ) throws -> [ReferenceRecord.Case] {
    var images = ImageCache(self)
    return try questions.enumerated().map { index, question in
      try Interruption.check()
      progress(index)
      let conversation = try Conversation(message: question.prompt, hasImage: question.imageBytes != nil, clock: clock)
      let prompt = try prepare(conversation, image: images.features(of: question))
      let session = try start(prompt, newTokens: maxNewTokens)
      let given = try question.answer.map { try answerTokens($0).prefix(maxNewTokens) }
      var tokens: [Int] = []
      var logits: [[Float]] = []
      let limit = given?.count ?? maxNewTokens
      while tokens.count < limit {
        let token = given?[tokens.count] ?? indexOfGreatest(session.logits)
        tokens.append(token)
        logits.append(session.logits)
        if given == nil && endTokens.contains(token) || tokens.count == limit || !session.hasRoom { break }
        try session.advance(token)
      }
      return ReferenceRecord.Case(
        question: question, inputIDs: prompt.inputIDs, decision: prompt.decision, granularity: prompt.granularity,
        sequenceLength: prompt.sequenceLength, tokens: tokens, logits: logits)
    }
  }
}

extension VisionLanguageModel {
  private func answerTokens(_ answer: String) throws -> [Int] {
    let tokens = try tokenizer.encode(answer)
    guard !tokens.isEmpty else { throw GristError(.badData, "a probe's answer is empty", advice: "leave it out") }
    return tokens
  }
}

extension ReferenceRecord.Case {
  /// What a router chooses in coarser arithmetic.
  public enum RoundedChoice: Sendable, Equatable {
    /// Tokens a tile.
    case granularity(Int)
    /// Nothing: a value leaves the type's range.
    case notFinite
  }

  /// The cases with what the model chooses in bfloat16 and in float16 beside what it chose: how firmly it holds its own choices. Cases
  /// without a choice stay as they are. `progress` hears how many are done.
  ///
  /// - Throws: What running tower and router throws; a value beyond the type's range is a choice that is not held.
  public static func trying(
    _ cases: [ReferenceRecord.Case], of parameters: any ParameterStore, pool: ThreadPool,
    progress: (Int) -> Void = { _ in }
  ) throws -> [ReferenceRecord.Case] {
    var result = cases
    for (number, rounding) in [Compute.Rounding.bfloat16, .float16].enumerated() {
      let model = try VisionLanguageModel(
        RoundedParameters(parameters, rounding),
        compute: Compute(pool: pool, activations: .f32, rounding: rounding))
      var images = ImageCache(model)
      for index in result.indices where result[index].decision != nil {
        try Interruption.check()
        progress((number * result.count + index) / 2)
        let question = result[index].question
        do {
          guard let image = try images.features(of: question),
            let decision = try model.route(
              image, text: result[index].inputIDs.filter { $0 != Conversation.imageID })
          else { continue }
          result[index].rounded[rounding] = .granularity(decision.choice)
        } catch let error as GristError where error.reason == .valueNotFinite {
          result[index].rounded[rounding] = .notFinite
        }
      }
    }
    return result
  }
}
