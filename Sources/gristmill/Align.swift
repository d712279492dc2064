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

extension TaughtQuestion.Teacher: ExpressibleByArgument {}
extension RouterAlignment.Measure: ExpressibleByArgument {}
