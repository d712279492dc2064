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
    /// Whether it is also kept what the router chooses in coarser arithmetic, how firmly the reference holds its own
    /// choices; and how far its scores are off in int8, see ``ChoiceBound``.
    public var triesCoarserArithmetic = true
    /// Memory to keep to: weights that do not fit are read again for every pass, and questions go through together as
    /// far as they have room. Nil: none.
    public var memoryBudget: MemoryBudget?
    /// Asks this part of the questions alone; ``ReferenceRecord/merged(_:)`` joins them.
    public var part: QuestionPart?

    public init() {}
  }

  private let source: Source
  /// Those that are asked.
  private let questions: [Question]
  private let part: ReferenceRecord.Part?
  private let options: Options
  private let compute: Compute

  /// - Parameters:
  ///   - source: the reference.
  ///   - questions: what it is asked.
  ///   - options: how much is kept.
  ///   - compute: runs it.
  public init(_ source: Source, questions: [Question], options: Options = Options(), compute: Compute) {
    self.source = source
    self.questions = options.part.map { Array(questions[$0.range(of: questions.count)]) } ?? questions
    part = options.part.map { ReferenceRecord.Part($0, of: questions) }
    self.options = options
    self.compute = compute
  }

  /// How the reference is run within the budget; nil without one.
  ///
  /// - Throws: 64 with the smallest budget that works when the one asked for is too small.
  public func memoryPlan() throws -> MemoryPlan? { options.memoryBudget == nil ? nil : try asked().plan }

  private func asked() throws -> AskedModel {
    try AskedModel(
      source, questions, newTokens: options.maxNewTokens, budget: options.memoryBudget, clock: options.clock,
      compute: compute)
  }

  /// - Parameter progress: hears the fraction done of a stage, and what is being done.
  /// - Throws: What running the model throws, 64 when the memory budget is too small, 65 when a question's answer has
  ///   no token, and 130 when the user interrupts.
  public func run(progress: (Double, String) -> Void = { _, _ in }) throws -> ReferenceRecord {
    let asked = try asked()
    let fingerprint = try source.fingerprint()
    let count = Double(questions.count)
    var cases = try asked.record(questions, keeping: options.keptLogits, clock: options.clock) {
      progress(Double($0) / count, asked.label("question \($0 + 1) of \(questions.count)"))
    }
    if options.triesCoarserArithmetic, cases.contains(where: { $0.decision != nil }) {
      let parameters = source.parameters(pool: compute.pool, residency: asked.model.residency)
      cases = try ReferenceRecord.Case.trying(cases, of: parameters, pool: compute.pool) {
        progress(Double($0) / count, "choices in coarser arithmetic")
      }
      cases = try ReferenceRecord.Case.tryingInt8(cases, of: parameters, pool: compute.pool) {
        progress(Double($0) / count, "choices in int8")
      }
    }
    return ReferenceRecord(
      fingerprint: fingerprint, source: fileName(of: source.path), loss: source.loss, clock: options.clock,
      template: asked.model.configuration.format.name,
      correctsUnpadding: asked.model.configuration.vision?.unpadding == .byCells, alignment: source.alignment?.digest,
      cases: cases, part: part)
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
    try AskedModel(self, newTokens: maxNewTokens).record(questions, keeping: keeping, clock: clock, progress: progress)
  }

  fileprivate func answerTokens(_ answer: String) throws -> [Int] {
    let tokens = try tokenizer.encode(answer)
    guard !tokens.isEmpty else { throw GristError(.badData, "a probe's answer is empty", advice: "leave it out") }
    return tokens
  }
}

extension AskedModel {
  /// Answers questions as `VisionLanguageModel.record` does, as many together as have room.
  func record(
    _ questions: [Question], keeping: Int? = nil, clock: ChatProgram.Clock?, progress: (Int) -> Void
  ) throws -> [ReferenceRecord.Case] {
    var images = ImageCache(model)
    var cases: [ReferenceRecord.Case] = []
    try inGroups(questions.count) { index in
      progress(index)
      let question = questions[index]
      let conversation = try question.conversation(clock: clock)
      let given = try question.answer.map { try Array(model.answerTokens($0).prefix(newTokens)) }
      return Prepared(
        value: RecordedAnswer(question, given: given, limit: newTokens, keeping: keeping),
        prompt: try model.prepare(conversation, images: images.features(of: question)))
    } run: { group in
      if plan != nil { images.forget() }
      let sessions = try model.start(group.map(\.prompt), newTokens: newTokens)
      while case let steps = zip(group, sessions).compactMap({ item, session in
        item.value.take(session, endTokens: model.endTokens).map { (session: session, tokens: [$0]) }
      }), !steps.isEmpty {
        try Interruption.check()
        try model.advance(steps)
      }
      cases += group.map { $0.value.recorded($0.prompt) }
    }
    return cases
  }
}

/// An answer on its way into a record.
private final class RecordedAnswer {
  private let question: Question
  /// What is read instead of what the model says.
  private let given: [Int]?
  private let limit: Int
  private let keeping: Int?
  private var tokens: [Int] = []
  private var logits: [KeptLogits] = []
  private var isDone = false

  init(_ question: Question, given: [Int]?, limit: Int, keeping: Int?) {
    (self.question, self.given, self.limit, self.keeping) = (question, given, given?.count ?? limit, keeping)
  }

  /// Takes the next token; nil where nothing follows it.
  func take(_ session: DecodingSession, endTokens: Set<Int>) -> Int? {
    guard !isDone, tokens.count < limit else { return nil }
    let token = given?[tokens.count] ?? indexOfGreatest(session.logits)
    tokens.append(token)
    logits.append(keeping.map { KeptLogits(session.logits, greatest: $0, and: token) } ?? KeptLogits(session.logits))
    isDone = given == nil && endTokens.contains(token) || tokens.count == limit || !session.hasRoom
    return isDone ? nil : token
  }

  func recorded(_ prompt: VisionLanguageModel.PreparedPrompt) -> ReferenceRecord.Case {
    ReferenceRecord.Case(
      question: question, inputIDs: prompt.inputIDs, decision: prompt.decision, granularity: prompt.granularity,
      sequenceLength: prompt.sequenceLength, tokens: tokens, logits: logits)
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
          guard let image = try images.features(of: question).first,
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
