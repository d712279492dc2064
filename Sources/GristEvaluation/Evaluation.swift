import GristCore
import GristKernels
import GristModel
import GristSources
import GristVerification

/// A model asked many questions, each at every granularity that was asked for: the picture is looked at once, the router
/// asked once, and what it chooses answered once.
public struct Evaluation: Sendable {
  public struct Options: Sendable {
    /// In the table's order; empty takes the router's choice and every fixed grid.
    public var granularities: [EvaluatedGranularity] = []
    /// Tokens of an answer, at most.
    public var maxNewTokens = 64
    /// How answers are scored; nil where the questions bring none.
    public var score: AnswerScore?
    /// Stops once the difference from ``reference`` is known to lie within so much, or wholly outside, as a share of
    /// the questions.
    public var stopWithin: Double?
    /// Asks this part of the questions alone; folders of all parts are joined by ``EvaluationParts``.
    public var part: QuestionPart?
    /// What another model answered, by question; to compare with.
    public var reference: ReferenceAnswers?
    /// Memory to keep to: weights that do not fit are read again for every pass. Nil: none.
    public var memoryBudget: MemoryBudget?
    /// What becomes of a question whose prompt is longer than the model's context.
    public var overlength = VisionLanguageModel.Overlength.refused

    public init() {}
  }

  public let source: Source
  public let questions: [EvaluationQuestion]
  public let options: Options
  private let compute: Compute

  /// - Throws: 64 where scoring or stopping is asked for and the questions bring no answers, or nothing to compare with is
  ///   given.
  public init(_ source: Source, questions: [EvaluationQuestion], options: Options = Options(), compute: Compute) throws
  {
    (self.source, self.questions, self.options, self.compute) = (source, questions, options, compute)
    if options.score != nil, let missing = questions.first(where: \.answers.isEmpty) {
      throw GristError(
        .usage, "a question brings no answer to score by", found: "question \(missing.id.text())",
        advice: "leave out --score, or give each question an \"answer\"")
    }
    if options.stopWithin != nil, options.score == nil || options.reference == nil {
      throw GristError(.usage, "stopping early needs a score, and answers of a reference to compare with")
    }
    if options.stopWithin != nil, options.part != nil {
      throw GristError(.usage, "a part alone cannot tell when enough was asked")
    }
    try options.reference?.requireAll(of: questions)
  }

  /// How the model is run within the budget; nil without one.
  ///
  /// - Throws: 64 with the smallest budget that works when the one asked for is too small.
  public func memoryPlan() throws -> MemoryPlan? { options.memoryBudget == nil ? nil : try asked().plan }

  private func asked() throws -> AskedModel {
    try AskedModel(
      source, questions.map(\.question), newTokens: options.maxNewTokens, budget: options.memoryBudget, clock: nil,
      compute: compute)
  }

  /// The order in which questions are asked: the file's, or where a stop is decided meanwhile, one that says nothing about
  /// them, so that what was asked is a fair sample at any time.
  private var order: [Int] {
    guard options.stopWithin != nil else {
      return Array(options.part?.range(of: questions.count) ?? questions.indices)
    }
    let keys = questions.map { sha256(Bytes(Array($0.id.text().utf8))) }
    return questions.indices.sorted { (keys[$0], $0) < (keys[$1], $1) }
  }

  /// Asks what was not asked yet, and writes answers, figures and a page into a folder.
  ///
  /// - Parameters:
  ///   - path: of the folder where an evaluation that was stopped goes on; nil keeps nothing.
  ///   - progress: hears the fraction done.
  ///
  /// - Throws: 64 for granularities that the model does not have, 65 for a folder of another evaluation, 130 when
  ///   interrupted, and what running the model throws.
  public func run(
    folder path: String? = nil, progress: (Double, String) -> Void = { _, _ in }
  ) throws -> EvaluationReport {
    let model = try asked().model
    let granularities = try granularities(of: model)
    // Of a checkpoint it is computed from all its weights: once.
    let side = try VerifiedSide(source, fingerprint: source.fingerprint())
    let folder = try path.map {
      try EvaluationFolder(path: $0, key: key(side, granularities), questions: questions.count)
    }
    var results = Dictionary(
      (folder?.answered ?? []).map { ($0.index, $0) }, uniquingKeysWith: { first, _ in first })
    var stop = options.stopWithin.map { EarlyStop(within: $0) }
    let asking = QuestionAsking(model, granularities, options)
    var asked = 0
    let order = order
    for index in order {
      try Interruption.check()
      progress(Double(asked) / Double(order.count), "question \(asked + 1) of \(order.count)")
      if results[index] == nil {
        let result = try asking.ask(questions[index].question, index: index)
        results[index] = result
        try folder?.append(result)
      }
      asked += 1
      if let result = results[index], let difference = difference(result, granularities[0]) {
        stop?.append(difference)
        if stop?.isDecided == true { break }
      }
    }
    let report = EvaluationReport(
      model: side, questions: questions,
      results: order.prefix(asked).compactMap { results[$0] }.sorted { $0.index < $1.index },
      granularities: granularities,
      options: options, interval: stop?.interval, arithmetic: compute.summary)
    if let folder {
      for granularity in granularities {
        try folder.write("answers-\(granularity.name).jsonl", report.answers(granularity))
      }
      try folder.write("evaluation.json", report.json.text() + "\n")
      try folder.write("report.html", report.html)
    }
    return report
  }

  /// How much better the model is on a question than the reference, from −1 to 1; nil without both.
  private func difference(_ result: EvaluatedQuestion, _ granularity: EvaluatedGranularity) -> Double? {
    let question = questions[result.index]
    guard let score = options.score, let other = options.reference?.text(of: question),
      let answer = result.answer(granularity)
    else { return nil }
    return score.score(answer.text, question.answers) - score.score(other, question.answers)
  }

  private func granularities(of model: VisionLanguageModel) throws -> [EvaluatedGranularity] {
    let known = model.configuration.granularities
    let hasRouter = model.configuration.vision?.usesRouter == true
    guard !options.granularities.isEmpty else {
      return (hasRouter ? [.auto] : []) + (known.isEmpty ? [.auto] : known.map(EvaluatedGranularity.fixed))
    }
    for case .fixed(let tokens) in options.granularities where !known.contains(tokens) {
      throw GristError(
        .usage, "the model has no granularity of \(tokens) tokens", file: model.path,
        advice: "it has " + known.map(String.init).joined(separator: ", "))
    }
    return options.granularities
  }

  /// What answers depend on.
  private func key(_ side: VerifiedSide, _ granularities: [EvaluatedGranularity]) -> JSONObject {
    let asked = questions.map { question -> JSONValue in
      [
        question.id, question.question.turns.turns,
        .array(question.question.pictures.map { JSONValue(sha256($0.bytes)) }),
      ]
    }
    var key = side.answerKey(alignment: source.alignment?.digest, arithmetic: compute.summary)
    key["questions"] = JSONValue(sha256(Bytes(Array(JSONValue.array(asked).text().utf8))))
    key["granularities"] = JSONValue(granularities.map(\.name))
    key["max_new_tokens"] = JSONValue(options.maxNewTokens)
    if options.overlength == .truncated { key["overlength"] = "truncated" }
    return key
  }
}

/// Asks one question after the other.
private final class QuestionAsking {
  private let model: VisionLanguageModel
  private let granularities: [EvaluatedGranularity]
  private let maxNewTokens: Int
  private let overlength: VisionLanguageModel.Overlength
  /// The last picture, which the next question is often about.
  private var seen: (bytes: Bytes, features: VisionLanguageModel.ImageFeatures, seconds: Double)?

  init(_ model: VisionLanguageModel, _ granularities: [EvaluatedGranularity], _ options: Evaluation.Options) {
    (self.model, self.granularities) = (model, granularities)
    (maxNewTokens, overlength) = (options.maxNewTokens, options.overlength)
  }

  func ask(_ question: Question, index: Int) throws -> EvaluatedQuestion {
    let clock = ContinuousClock()
    let conversation = try question.conversation(clock: nil)
    guard !question.pictures.isEmpty else {
      let answer = try answer(model.prepare(conversation, image: nil, overlength: overlength))
      return EvaluatedQuestion(
        index: index, choice: nil, margin: nil, pictureSeconds: 0, routerSeconds: 0, answers: [0: answer])
    }
    let looked = try question.pictures.map(look)
    let features = looked.map(\.features)
    var (answers, choice, margin) = ([Int: EvaluatedQuestion.Answer](), Int?.none, Double?.none)
    var routerSeconds = 0.0
    if granularities.contains(.auto) {
      let began = clock.now
      let prompt = try model.prepare(conversation, images: features, overlength: overlength)
      routerSeconds = (clock.now - began).seconds
      choice = prompt.granularity?.finest
      margin = prompt.decision.map { Double($0.margin) }
      if let choice { answers[choice] = try answer(prompt) }
    }
    for case .fixed(let tokens) in granularities where answers[tokens] == nil {
      answers[tokens] = try answer(
        model.prepare(conversation, images: features, granularity: .uniform(tokens), overlength: overlength))
    }
    return EvaluatedQuestion(
      index: index, choice: choice, margin: margin, pictureSeconds: looked.reduce(0) { $0 + $1.seconds },
      routerSeconds: routerSeconds, answers: answers)
  }

  private func look(
    _ picture: Question.Picture
  ) throws -> (bytes: Bytes, features: VisionLanguageModel.ImageFeatures, seconds: Double) {
    if let seen, seen.bytes.elementsEqual(picture.bytes) { return seen }
    let began = ContinuousClock.now
    let features = try model.encode(model.picture(encoded: picture.bytes, name: picture.name))
    let result = (picture.bytes, features, (ContinuousClock.now - began).seconds)
    seen = result
    return result
  }

  private func answer(_ prompt: VisionLanguageModel.PreparedPrompt) throws -> EvaluatedQuestion.Answer {
    let answer = try model.answer(prompt, maxNewTokens: maxNewTokens, sampler: Sampler())
    return EvaluatedQuestion.Answer(
      text: answer.text.strippedAsPython(), tokens: answer.tokens, visualTokens: prompt.pictureRows,
      seconds: answer.prefillSeconds + answer.decodeSeconds)
  }
}

/// Decides when enough was asked.
private struct EarlyStop {
  let within: Double
  private var sequence = ConfidenceSequence()

  init(within: Double) { self.within = within }

  mutating func append(_ difference: Double) { sequence.append((difference + 1) / 2) }

  /// Where the difference lies.
  var interval: ClosedRange<Double> {
    (2 * sequence.interval.lowerBound - 1)...(2 * sequence.interval.upperBound - 1)
  }

  var isDecided: Bool {
    let interval = interval
    return interval.lowerBound >= -within && interval.upperBound <= within
      || interval.lowerBound > within || interval.upperBound < -within
  }
}
