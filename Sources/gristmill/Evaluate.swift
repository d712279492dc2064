import ArgumentParser
import GristCore
import GristEvaluation
import GristKernels
import GristModel
import GristSources

struct Evaluate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Ask many questions at every granularity: right answers, visual tokens, seconds, what the router chose.",
    discussion: """
      Questions are those of LLaVA's evaluation scripts, an object a line: question_id, text, and maybe image, category, and \
      answer or answers; or a probes file. Each picture is looked at once and its router asked once, whatever is asked. \
      -o keeps every answer as it comes, in upstream's form at the end, with the figures and a page; the same command \
      goes on where it was stopped.
      """)

  @Argument(help: "A .grist file, or a checkpoint folder.")
  var model: String

  @Option(help: ArgumentHelp("The questions.", valueName: "file"))
  var questions: String

  @Option(
    help: ArgumentHelp(
      "Folder that images are relative to.", discussion: "Default: the questions' own.", valueName: "folder"))
  var images: String?

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Folder for answers, figures and the page.", valueName: "folder"))
  var output: String?

  @Option(
    help: ArgumentHelp(
      "Granularities, auto for the router's choice, separated by commas; all is auto and every fixed grid.",
      valueName: "auto,n,…|all"))
  var granularity = "all"

  @Option(
    help: ArgumentHelp(
      "How answers are scored, by each benchmark's published definition. exact: GQA; choice: ScienceQA, MMBench, AI2D; yes-no: "
        + "POPE; mme: MME; vqa: TextVQA, VizWiz; relaxed: ChartQA; anls: DocVQA.",
      discussion: "Default: exact where questions bring answers.",
      valueName: "kind"))
  var score: AnswerScore?

  @Option(
    help: ArgumentHelp(
      "Compare with another model's answers to the same questions: an answers file of its evaluation.",
      valueName: "answers"))
  var against: String?

  @Option(
    help: ArgumentHelp(
      "Stop once the first granularity's difference from --against is known to lie within so many points, or outside.",
      valueName: "points"))
  var stopWhen: Double?

  @Option(help: ArgumentHelp("Longest answer in tokens.", valueName: "n"))
  var maxNewTokens = 64

  @Option(
    help: ArgumentHelp(
      "Ask the K-th of N parts of the questions alone; `gristmill merge` joins the folders.", valueName: "k/n"))
  var part: QuestionPart?

  @Flag(help: "Cut the end off a prompt that is longer than the model's context, as upstream does.")
  var truncate = false

  @OptionGroup var memory: MemoryOptions
  @OptionGroup var choices: ChoiceOptions
  @OptionGroup var options: ComputeOptions
  @OptionGroup var global: GlobalOptions

  func validate() throws {
    try AnswerLength.check(maxNewTokens, atLeast: 1)
    if let stopWhen {
      guard stopWhen > 0, stopWhen <= 100 else { throw ValidationError("--stop-when must be above 0 and at most 100") }
      guard against != nil else { throw ValidationError("--stop-when goes with --against") }
    }
    if part != nil, stopWhen != nil || output == nil {
      throw ValidationError("--part goes with --output, and without --stop-when")
    }
    _ = try granularities()
  }

  private func granularities() throws -> [EvaluatedGranularity] {
    if granularity == "all" { return [] }
    let asked = granularity.split(separator: ",", omittingEmptySubsequences: false).map {
      EvaluatedGranularity(name: String($0))
    }
    guard asked.allSatisfy({ $0 != nil }), Set(asked).count == asked.count else {
      throw ValidationError("--granularity must be all, or auto and numbers, each once, not \(granularity)")
    }
    return asked.compactMap { $0 }
  }

  func run() throws {
    let asked = try EvaluationQuestion.read(path: questions, images: images)
    let source = try Source.open(path: model, options: options.checkpoint.sourceOptions())
    var evaluation = Evaluation.Options()
    evaluation.granularities = try granularities()
    evaluation.maxNewTokens = maxNewTokens
    evaluation.part = part
    evaluation.score = score ?? (asked.allSatisfy { !$0.answers.isEmpty } ? .exact : nil)
    evaluation.reference = try against.map { try ReferenceAnswers(path: $0) }
    evaluation.stopWithin = stopWhen.map { $0 / 100 }
    evaluation.memoryBudget = memory.memoryBudget?.budget
    evaluation.overlength = truncate ? .truncated : .refused
    let asking = try Evaluation(
      source, questions: asked, options: evaluation, compute: choices.applied(to: options.compute(global), source))
    if let plan = try asking.memoryPlan() {
      if memory.dryRun { return try Console.print(plan, global) }
      for line in plan.lines { try global.note(line) }
    }
    var bar = ProgressBar(quiet: global.quiet)
    let report = try asking.run(folder: output) { bar.show($0, $1) }
    bar.clear()
    if global.json { try Console.print(report.json) } else { try Console.print(EvaluateText.describe(report)) }
  }
}

extension AnswerScore: ExpressibleByArgument {}
