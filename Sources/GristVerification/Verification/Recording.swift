import GristCore
import GristKernels
import GristModel
import GristSources
import GristTemplates

/// Asks a reference some questions and keeps its answers, so that models can be verified without it.
///
///     let source = try Source.open(path: "checkpoint")
///     let record = try Recording(source, questions: questions, compute: compute).run()
///     try AtomicFile(path: "answers.record", kind: .record).finish(with: record.encoded())
public struct Recording: Sendable {
  public struct Options: Sendable {
    /// Tokens of each answer.
    public var maxNewTokens = 16
    /// Logits of each token that are kept, the greatest; nil keeps all. Divergences from the record are bounds then.
    public var keptLogits: Int?
    /// What templates are told that write the day down.
    public var clock: ChatProgram.Clock?
    /// Whether it is also kept what the router chooses in coarser arithmetic: how firmly the reference holds its own
    /// choices.
    public var triesCoarserArithmetic = true

    public init() {}
  }

  private let source: Source
  private let questions: [Question]
  private let options: Options
  private let compute: Compute

  /// - Parameters:
  ///   - source: the reference.
  ///   - questions: what it is asked.
  ///   - options: how much is kept.
  ///   - compute: runs it.
  public init(_ source: Source, questions: [Question], options: Options = Options(), compute: Compute) {
    self.source = source
    self.questions = questions
    self.options = options
    self.compute = compute
  }

  /// - Parameter progress: hears the fraction done of a stage, and what is being done.
  /// - Throws: What running the model throws, 65 when a question's answer has no token, and 130 when the user
  ///   interrupts.
  public func run(progress: (Double, String) -> Void = { _, _ in }) throws -> ReferenceRecord {
    let fingerprint = try source.fingerprint()
    let count = Double(questions.count)
    let model = try source.model(compute: compute)
    var cases = try model.record(
      questions, maxNewTokens: options.maxNewTokens, keeping: options.keptLogits, clock: options.clock
    ) { progress(Double($0) / count, "question \($0 + 1) of \(questions.count)") }
    if options.triesCoarserArithmetic, cases.contains(where: { $0.decision != nil }) {
      cases = try ReferenceRecord.Case.trying(cases, of: source.parameters(pool: compute.pool), pool: compute.pool) {
        progress(Double($0) / count, "choices in coarser arithmetic")
      }
    }
    return ReferenceRecord(
      fingerprint: fingerprint, source: fileName(of: source.path), loss: source.loss, clock: options.clock,
      template: model.configuration.format.name, cases: cases)
  }
}

extension VisionLanguageModel {
  /// Answers questions greedily, or reads the answers that they bring, and keeps everything. Templates that write the
  /// day down are told `clock`. `keeping` keeps only so many logits of each token, the greatest. `progress` hears how
  /// many are done.
  ///
  /// - Throws: What running the model throws, 65 when a question's answer has no token.
  public func record(
    _ questions: [Question], maxNewTokens: Int, keeping: Int? = nil, clock: ChatProgram.Clock? = nil,
    progress: (Int) -> Void = { _ in }
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
      var logits: [KeptLogits] = []
      let limit = given?.count ?? maxNewTokens
      while tokens.count < limit {
        let token = given?[tokens.count] ?? indexOfGreatest(session.logits)
        tokens.append(token)
        logits.append(
          keeping.map { KeptLogits(session.logits, greatest: $0, and: token) } ?? KeptLogits(session.logits))
        if given == nil && endTokens.contains(token) || tokens.count == limit || !session.hasRoom { break }
        try session.advance(token)
      }
      return ReferenceRecord.Case(
        question: question, inputIDs: prompt.inputIDs, decision: prompt.decision, granularity: prompt.granularity,
        sequenceLength: prompt.sequenceLength, tokens: tokens, logits: logits)
    }
  }

  private func answerTokens(_ answer: String) throws -> [Int] {
    let tokens = try tokenizer.encode(answer)
    guard !tokens.isEmpty else { throw GristError(.badData, "a probe's answer is empty", advice: "leave it out") }
    return tokens
  }
}

extension ReferenceRecord.Case {
  /// The cases with what the model chooses in bfloat16 and in float16 beside what it chose: how firmly it holds its own
  /// choices. Cases without a choice stay as they are. `progress` hears how many are done.
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
          result[index].rounded[rounding] = .granularity(decision.granularity)
        } catch let error as GristError where error.reason == .valueNotFinite {
          result[index].rounded[rounding] = .notFinite
        }
      }
    }
    return result
  }
}
