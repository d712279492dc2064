import ArgumentParser
import GristCore
import GristKernels
import GristModel
import GristSources
import GristTemplates
import GristVerification

struct Verify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show that a model makes the reference's router choices and gives its outputs.",
    discussion: """
      Passes when every router choice agrees (but for ties) and the mean KL divergence of the outputs, teacher-forced \
      on the reference's greedy tokens, stays below --max-kl. Against a checkpoint, every stored tensor must also be \
      the checkpoint's, up to the error that its file recorded, and the file must have been made from the checkpoint's \
      weights. A model that has a router passes only when it was asked about a picture. Without --reference, the record \
      inside the file is used.

      The report's terms. Voter: the router's last layer, whose logits, one a grid, decide; the greatest is the choice. \
      Margin: how far the greatest logit is above the second; below --tie-margin a differing choice is a tie. Filter: \
      the 32 tokens of the question that are most like the picture, which the router sees; the report says in how many \
      cases the set of them, and their order, are the reference's.
      """)

  @Argument(help: "The model to verify: a .grist file, or a checkpoint folder.")
  var model: String

  @Option(
    help: ArgumentHelp("A checkpoint folder, or a record made by `gristmill record`.", valueName: "checkpoint|record"))
  var reference: String?

  @OptionGroup var asking: AskingOptions

  @Option(help: ArgumentHelp("Many questions: [{\"image\": \"a.jpg\", \"prompt\": \"…\"}, …].", valueName: "file"))
  var probes: String?

  @Option(help: ArgumentHelp("Tokens of each answer to compare.", valueName: "n"))
  var maxNewTokens = 16

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("A differing choice is a tie when the reference's margin is below this.", valueName: "x")
  )
  var tieMargin = VerificationLimits().tieMargin

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Largest mean KL divergence that passes, in nats a token.", valueName: "x"))
  var maxKl = VerificationLimits().maximumMeanKL

  @Flag(
    help:
      "Also take one part at a time from the model, the rest from the reference checkpoint, and show what it does to the router."
  )
  var byPart = false

  @Flag(help: "Let a model that has a router pass on questions without a picture: its choices are not verified.")
  var textOnly = false

  @Flag(help: "Compare with a reference of other weights, and let the outputs alone decide.")
  var otherWeights = false

  @Flag(help: "Take a reference whose own weights are not upstream's any more; the report says so.")
  var allowLossyReference = false

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "Folder that keeps every comparison with a record: a verification that was stopped goes on.", valueName: "folder")
  )
  var output: String?

  @Option(
    help: ArgumentHelp(
      "Ask the K-th of N parts of a record's questions alone; `gristmill merge` joins the folders.", valueName: "k/n"))
  var part: QuestionPart?

  @Option(help: ArgumentHelp("Also write a page to look at.", valueName: "out.html"))
  var report: String?

  @OptionGroup var memory: MemoryOptions
  @OptionGroup var outputs: OutputOptions
  @OptionGroup var choices: ChoiceOptions
  @OptionGroup var options: ComputeOptions
  @OptionGroup var global: GlobalOptions

  func validate() throws {
    try asking.checkApart(fromProbes: probes)
    try AnswerLength.check(maxNewTokens, atLeast: 1)
    if !(tieMargin >= 0) || !(maxKl >= 0) { throw ValidationError("--tie-margin and --max-kl must be 0 or more") }
    if part != nil, output == nil || report != nil || byPart {
      throw ValidationError("--part goes with --output, and without --report and --by-part")
    }
    if byPart, reference == nil { throw ValidationError("--by-part needs a checkpoint as --reference") }
  }

  func run() throws {
    let sourceOptions = try options.checkpoint.sourceOptions()
    let source = try Source.open(path: model, options: sourceOptions)
    let compute = try choices.applied(to: options.compute(global), source)
    let asked = try asking.questions(probes: probes)
    let reference = try Reference.open(
      reference, model: source, asksQuestions: asked != nil, options: sourceOptions, allowsLoss: allowLossyReference)
    let page = try report.map { try outputs.file($0, .page) }
    let verification = Verification(
      source, against: reference, questions: asked ?? [], options: verificationOptions, compute: compute)
    if let plans = try verification.memoryPlans() {
      if memory.dryRun { return try show(plans.model, plans.reference) }
      for line in plans.model.lines { try global.note("the model: " + line) }
      for line in plans.reference?.lines ?? [] { try global.note("the reference: " + line) }
    }
    var bar = ProgressBar(quiet: global.quiet)
    if let output, part != nil {
      let count = try verification.compare(folder: output) { bar.show($0, $1) }
      bar.clear()
      return try showPart(output, count)
    }
    let result = try verification.run(folder: output) { bar.show($0, $1) }
    bar.clear()
    if global.json {
      try Console.print(result.json)
    } else {
      try Console.print(VerifyText.describe(result, casesToo: !global.quiet))
    }
    // After the verdict, which stands whatever becomes of the page.
    try page?.finish(with: Bytes(Array(result.html.utf8)))
    if !result.passed { throw ExitCode(GristError.Code.disagreement.rawValue) }
  }

  private var verificationOptions: Verification.Options {
    var options = Verification.Options()
    options.limits = VerificationLimits(
      tieMargin: tieMargin, maximumMeanKL: maxKl, requiresChoices: !textOnly, requiresSameWeights: !otherWeights)
    options.maxNewTokens = maxNewTokens
    options.clock = ChatProgram.Clock.now?.day
    options.attributesParts = byPart
    options.part = part
    options.memoryBudget = memory.memoryBudget?.budget
    return options
  }

  private func showPart(_ output: String, _ count: Int) throws {
    if global.json {
      try Console.print(["output": JSONValue(output), "cases": JSONValue(count)])
    } else if !global.quiet {
      try Console.print("\(output): \(count) cases compared")
    }
  }

  /// Shows how both sides would be run.
  private func show(_ model: MemoryPlan, _ reference: MemoryPlan?) throws {
    if global.json {
      try Console.print(["model": model.json, "reference": reference?.json ?? .null])
    } else {
      let lines = model.lines.map { "the model: " + $0 } + (reference?.lines ?? []).map { "the reference: " + $0 }
      try Console.print(lines.joined(separator: "\n"))
    }
  }

}
