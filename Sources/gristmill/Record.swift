import ArgumentParser
import GristCore
import GristKernels
import GristModel
import GristSources
import GristVerification

struct Record: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Keep a reference's answers, to verify against without it.",
    discussion: """
      The record holds pictures, prompts, router decisions, greedy tokens and all their logits, and the fingerprint of \
      the weights it was made from. --into puts it inside a .grist file made from the same weights.
      """)

  @Argument(help: "The reference: a checkpoint folder, or a .grist file made with the recipe source.")
  var checkpoint: String

  @Option(help: ArgumentHelp("Questions: [{\"image\": \"a.jpg\", \"prompt\": \"…\"}, …].", valueName: "file"))
  var probes: String?

  @OptionGroup var asking: AskingOptions

  @Option(name: .shortAndLong, help: ArgumentHelp("The record to write.", valueName: "record"))
  var output: String?

  @Option(help: ArgumentHelp("The file to put the record into.", valueName: "model.grist"))
  var into: String?

  @Option(help: ArgumentHelp("Tokens of each answer.", valueName: "n"))
  var maxNewTokens = 16

  @Option(
    help: ArgumentHelp(
      "Keep the greatest logits of each token only, for a small record; divergences from it are bounds. Default: all",
      valueName: "k"))
  var top: Int?

  @Option(
    help: ArgumentHelp(
      "Ask the K-th of N parts of the questions alone; `gristmill merge` joins the records.", valueName: "k/n"))
  var part: QuestionPart?

  @Flag(help: "Record weights that are not upstream's any more; every report against the record says so.")
  var allowLossyReference = false

  @OptionGroup var day: DateOptions
  @OptionGroup var memory: MemoryOptions
  @OptionGroup var outputs: OutputOptions
  @OptionGroup var options: ComputeOptions
  @OptionGroup var global: GlobalOptions

  func validate() throws {
    try asking.checkApart(fromProbes: probes)
    if probes == nil, !asking.asks { throw ValidationError("give --probes, or --prompt, or --conversation") }
    if (output == nil) == (into == nil) { throw ValidationError("give either --output or --into") }
    try AnswerLength.check(maxNewTokens, atLeast: 1)
    if part != nil, into != nil {
      throw ValidationError("--part goes with --output: a part alone is no record of a model")
    }
    if let top, top < 1 { throw ValidationError("--top must be 1 or more") }
  }

  func run() throws {
    let questions = try asking.questions(probes: probes) ?? []
    let source = try Source.open(path: checkpoint, options: options.checkpoint.sourceOptions())
    // A router that was trained for the file has no other reference than the file itself.
    if !allowLossyReference, source.alignment == nil { try Reference.refuseLoss(source.loss, of: checkpoint) }
    var recording = Recording.Options()
    recording.maxNewTokens = maxNewTokens
    recording.keptLogits = top
    recording.clock = day.clock?.day
    recording.part = part
    recording.memoryBudget = memory.memoryBudget?.budget
    let asking = try Recording(source, questions: questions, options: recording, compute: options.compute(global))
    if let plan = try asking.memoryPlan() {
      if memory.dryRun { return try Console.print(plan, global) }
      for line in plan.lines { try global.note(line) }
    }
    let fingerprint = try source.fingerprint()
    let file = try output.map { try outputs.file($0, .record) }
    let target = try into.map { try EmbeddingTarget(path: $0, fingerprint: fingerprint) }
    var bar = ProgressBar(quiet: global.quiet)
    let record = try asking.run { bar.show($0, $1) }
    bar.clear()
    let bytes = try record.encoded()
    let path = output ?? into ?? ""
    try target?.embed(bytes)
    try file?.finish(with: bytes)
    if global.json {
      let document: JSONValue = [
        "output": JSONValue(path), "cases": JSONValue(record.cases.count), "bytes": JSONValue(bytes.count),
        "fingerprint": JSONValue(record.fingerprint),
      ]
      try Console.print(document)
    } else if !global.quiet {
      try Console.print("\(path): \(record.cases.count) cases, \(NumberText.bytes(bytes.count))")
    }
  }
}
