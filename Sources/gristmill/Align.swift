import ArgumentParser
import GristAlignment
import GristCore
import GristKernels
import GristModel
import GristSources

struct Align: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a file's router anew on what the file itself answers at every granularity.",
    discussion: """
      AVG-LLaVA's second stage, for the model as it runs. First the model gives each answer at every granularity; what that \
      costs it is kept in the feedback folder. Then the router alone learns to rank granularities by it. The file that is \
      written is the same but for the router, and says so: its choices are its own from then on. A command that was stopped \
      goes on when it is given again.
      """)

  @Argument(help: "A .grist file of a model with a granularity router.")
  var model: String

  @Option(
    help: ArgumentHelp(
      "What to learn from: questions as for evaluate, with answers or without, or a record.", valueName: "file"))
  var questions: String

  @Option(
    help: ArgumentHelp(
      "Folder that images are relative to.", discussion: "Default: the questions' own.", valueName: "folder"))
  var images: String?

  @Option(name: .shortAndLong, help: ArgumentHelp("The file to write.", valueName: "aligned.grist"))
  var output: String?

  @Option(
    help: ArgumentHelp(
      "Folder that keeps feedback and the training's state.", discussion: "Default: OUTPUT.feedback.",
      valueName: "folder"))
  var feedback: String?

  @Option(
    help: ArgumentHelp(
      "Whose answers: given with the questions, the reference's of a record, or the model's own at the finest granularity.",
      discussion: "Default: the first of these that there is.", valueName: "given|reference|own"))
  var teacher: TaughtQuestion.Teacher?

  @Option(
    help: ArgumentHelp(
      "What a granularity is held to: the answer's loss, or the divergence from the finest one's distribution along it.",
      valueName: "loss|divergence"))
  var measure: RouterAlignment.Measure = .loss

  @Option(help: ArgumentHelp("Longest answer of the model's own in tokens.", valueName: "n"))
  var maxNewTokens = 64

  @Option(
    help: ArgumentHelp(
      "Ask the K-th of N parts of the questions alone, without training; `gristmill merge` joins the folders.",
      valueName: "k/n"))
  var part: QuestionPart?

  @Option(
    help: ArgumentHelp(
      "Questions that are not learned from, to judge the router by.", discussion: "In the form of --questions.",
      valueName: "file"))
  var unseen: String?

  @Option(
    help: ArgumentHelp(
      "Memory that asking the model keeps to, as for run; training has its own.", discussion: "Default: none.",
      valueName: "size|auto"))
  var memoryBudget: BudgetOption?

  @OptionGroup(title: "Training") var training: TrainingOptions
  @OptionGroup var outputs: OutputOptions
  @OptionGroup var options: ComputeOptions
  @OptionGroup var global: GlobalOptions

  func validate() throws {
    try AnswerLength.check(maxNewTokens, atLeast: 1)
    if part != nil {
      if output != nil {
        throw ValidationError("--part gathers feedback alone: it goes with --feedback, without --output")
      }
      if feedback == nil { throw ValidationError("--part goes with --feedback") }
      if unseen != nil { throw ValidationError("--part goes without --unseen") }
    } else if output == nil {
      throw ValidationError("give --output, or --part and --feedback")
    }
  }

  func run() throws {
    let (asked, _) = try TaughtQuestion.read(path: questions, images: images, teacher: teacher)
    var alignment = RouterAlignment.Options()
    alignment.measure = measure
    alignment.maxNewTokens = maxNewTokens
    alignment.part = part
    alignment.memoryBudget = memoryBudget?.budget
    alignment.granularities = training.granularities?.tokens
    alignment.training = try training.options()
    alignment.unseen = try unseen.map { try TaughtQuestion.read(path: $0, images: images, teacher: teacher).questions }
    let source = try Source.open(path: model, options: options.checkpoint.sourceOptions())
    let aligning = try RouterAlignment(source, questions: asked, options: alignment, compute: options.compute(global))
    let folder = feedback ?? (output ?? "") + ".feedback"
    let file = try output.map { try outputs.file($0, .grist) }
    var bar = ProgressBar(quiet: global.quiet)
    guard let file else {
      let count = try aligning.gather(folder: folder) { bar.show($0, $1) }
      bar.clear()
      if global.json {
        try Console.print(["feedback": JSONValue(folder), "questions": JSONValue(count)])
      } else if !global.quiet {
        try Console.print("\(folder): feedback on \(count) of \(asked.count) questions")
      }
      return
    }
    try global.note(AlignText.describe(aligning.memory))
    let report = try aligning.run(folder: folder, to: file) { bar.show($0, $1) }
    bar.clear()
    if global.json { try Console.print(report.json) } else { try Console.print(AlignText.describe(report)) }
  }
}

/// How a router is trained.
struct TrainingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Terms of the loss.", valueName: RankingLoss.Terms.allCases.map(\.rawValue).joined(separator: "|")))
  var terms: RankingLoss.Terms = .both

  @Option(help: ArgumentHelp("Weight of the cross-entropy beside the ranking.", valueName: "a"))
  var alpha = 0.1

  @Option(help: ArgumentHelp("How many times further apart scores must be than losses.", valueName: "m"))
  var margin = 1.0

  @Option(
    help: ArgumentHelp(
      "Price of visual tokens: added to the finest granularity's loss, and their share of it to others'.",
      valueName: "p"))
  var tokenPrice = 0.0

  @Option(
    help: ArgumentHelp(
      "Tokens of the prompt that count.", discussion: "Default: all that the router sees.", valueName: "k"))
  var filteredTokens: Int?

  @Option(help: ArgumentHelp("Greatest rate of AdamW.", valueName: "r"))
  var rate = RouterAlignment.Training().rate

  @Option(help: ArgumentHelp("AdamW's weight decay.", valueName: "w"))
  var weightDecay = RouterAlignment.Training().weightDecay

  @Option(help: ArgumentHelp("Times that every picture is learned from.", valueName: "n"))
  var epochs = RouterAlignment.Training().epochs

  @Option(help: ArgumentHelp("Pictures a step, each with all questions about it.", valueName: "n"))
  var batch = RouterAlignment.Training().batch

  @Option(help: ArgumentHelp("Seed of the order of pictures, and of a new router.", valueName: "n"))
  var seed: UInt64 = 0

  @Flag(help: "Begin with a router before any training instead of the file's own.")
  var fromScratch = false

  @Option(
    help: ArgumentHelp(
      "Other granularities than the model's, for a router from scratch; the file's config.json is changed so.",
      valueName: "n,…"))
  var granularities: GranularityList?

  @Option(
    help: ArgumentHelp(
      "Memory that training keeps to.", discussion: "Default: what the weights take, and half a GiB.", valueName: "size"
    ))
  var trainingMemory: BudgetOption?

  func validate() throws {
    func require(_ name: String, _ value: Double, _ range: ClosedRange<Double>) throws {
      guard range.contains(value) else {
        throw ValidationError(
          "--\(name) must be from \(NumberText.significant(range.lowerBound)) to \(NumberText.significant(range.upperBound))"
        )
      }
    }
    try require("alpha", alpha, 0...1e6)
    try require("margin", margin, 0...1e6)
    try require("token-price", tokenPrice, 0...1e6)
    try require("rate", rate, 1e-12...1)
    try require("weight-decay", weightDecay, 0...1)
    try require("epochs", Double(epochs), 1...1e6)
    try require("batch", Double(batch), 1...1e6)
    if let filteredTokens { try require("filtered-tokens", Double(filteredTokens), 0...65_536) }
  }

  func options() throws -> RouterAlignment.Training {
    var training = RouterAlignment.Training()
    training.loss.terms = terms
    training.loss.alpha = alpha
    training.loss.margin = margin
    training.loss.tokenPrice = tokenPrice
    training.filteredTextTokens = filteredTokens
    training.rate = rate
    training.weightDecay = weightDecay
    training.epochs = epochs
    training.batch = batch
    training.seed = seed
    training.startsAnew = fromScratch
    training.memoryBudget = try trainingMemory?.budget.byteCount()
    return training
  }
}

/// `1,4,16`.
struct GranularityList: ExpressibleByArgument {
  let tokens: [Int]

  init?(argument: String) {
    let tokens = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    guard tokens.allSatisfy({ $0.map { $0 > 0 } ?? false }), Set(tokens).count == tokens.count else { return nil }
    self.tokens = tokens.compactMap { $0 }
  }
}

extension TaughtQuestion.Teacher: ExpressibleByArgument {}
extension RouterAlignment.Measure: ExpressibleByArgument {}
extension RankingLoss.Terms: ExpressibleByArgument {}
