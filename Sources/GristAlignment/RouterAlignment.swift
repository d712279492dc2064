import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources

/// Trains a model's router anew on what the very model answers: AVG-LLaVA's second stage (arXiv 2410.02745, section 3.4),
/// for a quantized file as it runs.
///
///     let source = try Source.open(path: "model.grist")
///     let (questions, _) = try TaughtQuestion.read(path: "questions.jsonl")
///     let alignment = try RouterAlignment(source, questions: questions, compute: compute)
///     let report = try alignment.run(folder: "feedback", to: AtomicFile(path: "aligned.grist", kind: .grist))
///
/// Only the router changes. What the file tells of itself then says so, since its choices are no longer upstream's.
public struct RouterAlignment: Sendable {
  /// What a granularity is held to.
  public enum Measure: String, Sendable, CaseIterable {
    /// Mean negative log-likelihood of the answer's tokens: the paper's.
    case loss
    /// Mean Kullback-Leibler divergence from what the model says at the finest granularity, along the answer.
    case divergence
  }

  /// How the router learns.
  public struct Training: Sendable {
    public var loss = RankingLoss()
    /// Tokens of a prompt that count, at most as many as the router sees; nil for all.
    public var filteredTextTokens: Int?
    /// The greatest rate of AdamW.
    public var rate = 1e-3
    public var weightDecay = 0.01
    public var epochs = 8
    /// Pictures a step, each with all questions about it.
    public var batch = 32
    public var seed: UInt64 = 0
    /// Begins with a router before any training instead of the file's own.
    public var startsAnew = false
    /// Bytes that training keeps to: what a step's way back needs and has no room is computed once more. Nil for what the
    /// weights take and half a GiB.
    public var memoryBudget: Int?

    public init() {}

    /// All that a training's way depends on.
    var json: JSONValue {
      [
        "terms": JSONValue(loss.terms.rawValue), "alpha": JSONValue(loss.alpha), "margin": JSONValue(loss.margin),
        "token_price": JSONValue(loss.tokenPrice), "filtered": filteredTextTokens.map { JSONValue($0) } ?? .null,
        "rate": JSONValue(rate), "weight_decay": JSONValue(weightDecay), "epochs": JSONValue(epochs),
        "batch": JSONValue(batch), "seed": JSONValue("\(seed)"), "anew": JSONValue(startsAnew),
      ]
    }
  }

  public struct Options: Sendable {
    public var measure = Measure.loss
    /// Tokens of an answer of the model's own, at most.
    public var maxNewTokens = 64
    /// Other granularities than the configuration's, for a router that is trained from the beginning.
    public var granularities: [Int]?
    /// Memory that asking the model keeps to: weights that do not fit are read again for every pass. Nil: none.
    public var memoryBudget: MemoryBudget?
    /// Asks this part of the questions alone, for ``gather(folder:progress:)``; ``FeedbackParts`` joins the folders.
    public var part: QuestionPart?
    public var training = Training()
    /// Questions that it does not learn from, to judge it by.
    public var unseen: [TaughtQuestion]?

    public init() {}
  }

  private let source: Source
  private let questions: [TaughtQuestion]
  private let options: Options
  private let compute: Compute
  /// What training takes.
  public let memory: TrainingMemory

  /// - Throws: 64 with the smallest budget that works when the training's is too small, for a checkpoint, for a model without AVG-LLaVA's router, and for granularities that a tile cannot be cut
  ///   into.
  public init(_ source: Source, questions: [TaughtQuestion], options: Options = Options(), compute: Compute) throws {
    guard source.file != nil else {
      throw GristError(
        .usage, "a router is aligned in a .grist file, as that will run", file: source.path,
        advice: "convert the checkpoint first")
    }
    var options = options
    var source = source
    let routing = try Self.routing(of: source)
    if options.granularities == routing.granularities { options.granularities = nil }
    if let granularities = options.granularities {
      source = try Self.source(source, granularities)
      options.training.startsAnew = true
    }
    if let count = options.training.filteredTextTokens, !(0...routing.filteredTextTokens).contains(count) {
      throw GristError(
        .usage, "the router sees \(routing.filteredTextTokens) tokens of a prompt at most", file: source.path,
        found: "\(count)")
    }
    (self.source, self.questions, self.options, self.compute) = (source, questions, options, compute)
    memory = try TrainingMemory(Self.routing(of: source), source, budget: options.training.memoryBudget)
  }

  /// - Throws: 64 for a model without AVG-LLaVA's router.
  static func routing(of source: Source) throws -> GranularityRouting {
    guard let vision = try source.configuration().vision, vision.usesRouter,
      let routing = vision.router as? GranularityRouting
    else {
      throw GristError(.usage, "the model has no granularity router that could be trained", file: source.path)
    }
    return routing
  }

  /// The file with other granularities in its configuration.
  private static func source(_ source: Source, _ granularities: [Int]) throws -> Source {
    let name = "config.json"
    guard let bytes = try source.sideFile(named: name), var json = try JSONValue.parse(bytes).object else {
      throw GristError(.missingInput, "the model has no config.json", file: source.path)
    }
    json["vis_token_granularity"] = JSONValue(granularities)
    do {
      return try source.replacing(name, with: Bytes(Array((JSONValue.object(json).text() + "\n").utf8)))
    } catch let error as GristError where error.code == .badData {
      throw GristError(
        .usage, "a tile cannot be cut so", file: source.path,
        found: granularities.map(String.init).joined(separator: ", "),
        advice: error.what)
    }
  }

  /// Asks the model at every granularity, without training; a part of the questions where options say so.
  ///
  /// - Parameters:
  ///   - folder: keeps the answers; one that was stopped goes on.
  ///   - progress: hears the fraction done.
  ///
  /// - Returns: How many questions the folder holds.
  /// - Throws: 65 for a folder of other feedback, what running the model throws, 130 when interrupted.
  @discardableResult
  public func gather(folder: String, progress: (Double, String) throws -> Void = { _, _ in }) throws -> Int {
    try gathered(questions, folder, progress).feedback.count
  }

  private func gathered(
    _ questions: [TaughtQuestion], _ folder: String, _ progress: (Double, String) throws -> Void
  ) throws -> FeedbackFolder {
    try FeedbackGathering(source: source, questions: questions, options: options, compute: compute)
      .run(into: folder, progress: progress)
  }

  /// Gathers feedback where it is not there yet, trains the router, and writes the file with it.
  ///
  /// - Parameters:
  ///   - folder: keeps feedback and the training's state; what was stopped goes on.
  ///   - output: the file to write.
  ///   - progress: hears the fraction done of a stage.
  ///
  /// - Throws: What gathering throws; 65 where training leads to values that are not finite; 74 when something cannot be
  ///   written; 130 when interrupted.
  public func run(
    folder: String, to output: AtomicFile, progress: (Double, String) throws -> Void = { _, _ in }
  ) throws -> AlignmentReport {
    let learned = try gathered(questions, folder, progress)
    let unseen = try options.unseen.map { try gathered($0, joinPath(folder, "unseen"), progress) }
    let routing = try Self.routing(of: source)
    let model = try source.model(compute: compute)
    let training = RouterTraining(
      options: options.training, routing: routing, compute: Compute(pool: compute.pool, activations: .f32),
      activationBytes: memory.activationBytes, samples: RouterTraining.PictureFeedback.grouped(learned.feedback),
      pictures: try learned.pictures(),
      embed: { try model.embed($0) })
    let weights =
      try options.training.startsAnew
      ? RouterWeights(beginning: routing, seed: options.training.seed) : RouterWeights(source, routing)
    let (seconds, stepsNow) = try train(weights, training, folder, progress)
    let aligned = try AlignedRouter(
      weights, source: source,
      summary: "router aligned on \(learned.feedback.count) questions about \(training.samples.count) pictures: "
        + options.training.summary(options.measure))
    let byteCount = try aligned.write(to: output, pool: compute.pool) { try progress($0, "writing") }
    let written = try Source.open(path: output.path, options: source.options)
    func judged(_ folder: FeedbackFolder) throws -> AlignmentReport.Judged {
      try RouterJudgement(written, model, routing, compute)(folder, progress)
    }
    return AlignmentReport(
      output: output.path, byteCount: byteCount, granularities: routing.granularities, learned: try judged(learned),
      unseen: try unseen.map(judged), parameters: weights.count, steps: training.steps, trainingSeconds: seconds,
      stepsNow: stepsNow, digest: aligned.alignment.digest)
  }

  private func train(
    _ weights: RouterWeights, _ training: RouterTraining, _ folder: String,
    _ progress: (Double, String) throws -> Void
  ) throws -> (seconds: Double, steps: Int) {
    let lines = sha256(try readFile(FeedbackFolder.lines(in: folder), limit: 1 << 32))
    let state = TrainingState(
      path: joinPath(folder, "training.safetensors"),
      key: sha256(Bytes(Array((lines + options.training.json.text(pretty: false)).utf8))))
    var log = ""
    let began = ContinuousClock.now
    var count = 0
    try training.run(weights, state: state) { step in
      count += 1
      log += step.json.text(pretty: false) + "\n"
      let regret = NumberText.significant(step.regret)
      try progress(
        Double(step.number + 1) / Double(training.steps),
        "training: step \(step.number + 1) of \(training.steps), regret \(regret)")
    }
    let seconds = (ContinuousClock.now - began).seconds
    if count > 0 {
      try AtomicFile(path: joinPath(folder, "steps.jsonl"), forces: true).finish(with: Bytes(Array(log.utf8)))
    }
    return (seconds, count)
  }
}

extension RouterAlignment.Training {
  /// For people, in the file's lineage.
  func summary(_ measure: RouterAlignment.Measure) -> String {
    let terms =
      switch loss.terms {
      case .both: "ranking + \(NumberText.significant(loss.alpha)) cross-entropy"
      case .ranking, .crossEntropy: loss.terms.rawValue
      }
    return terms + (measure == .divergence ? " of divergences" : " of losses")
      + (loss.tokenPrice == 0 ? "" : ", tokens at \(NumberText.significant(loss.tokenPrice))")
      + (startsAnew ? ", from the beginning" : "") + ", \(epochs) epochs at \(NumberText.significant(rate))"
  }
}
