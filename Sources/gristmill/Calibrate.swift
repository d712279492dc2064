import ArgumentParser
import GristConversion
import GristCore
import GristKernels
import GristModel
import GristSources

struct Calibrate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Gather the statistics that `convert --stats` calibrates int4 weights with.",
    discussion: """
      Runs the checkpoint at full precision and keeps the second moments of every matrix's inputs, in blocks of 64 \
      columns. Gathered once, they serve every recipe. Default: bundled conversations, and photographs where the model \
      takes pictures; with --probes, your own questions.
      """)

  @Argument(help: "The checkpoint folder, or a .grist file made with the recipe source.")
  var checkpoint: String

  @Option(
    help: ArgumentHelp(
      "Questions: [{\"image\": \"a.jpg\", \"prompt\": \"…\", \"answer\": \"…\"}, …]; what has no answer the model answers.",
      valueName: "file"))
  var probes: String?

  @OptionGroup var asking: AskingOptions

  @Option(name: .shortAndLong, help: ArgumentHelp("The statistics to write.", valueName: "stats"))
  var output: String

  @Option(
    help: ArgumentHelp(
      "Run the K-th of N parts of the samples alone, 16 parts at most; `gristmill merge` joins the statistics.",
      valueName: "k/n"))
  var part: QuestionPart?

  @OptionGroup var memory: MemoryOptions
  @OptionGroup var outputs: OutputOptions
  @OptionGroup var options: CheckpointOptions
  @OptionGroup var global: GlobalOptions

  func validate() throws { try asking.checkApart(fromProbes: probes) }

  func run() throws {
    let source = try Source.open(path: checkpoint, options: options.sourceOptions())
    try source.requireNoLoss()
    var bar = ProgressBar(quiet: global.quiet)
    let pool = try global.pool()
    let configuration = try source.configuration()
    if let note = CalibrationFormat(configuration).note { try global.note("note: \(note)") }
    let calibration = try samples() ?? .bundled(for: configuration)
    let within = try memory.memoryBudget.map {
      try calibration.memory(source, budget: $0.budget, compute: Compute(pool: pool, activations: .f32))
    }
    if let within {
      if memory.dryRun { return try Console.print(within, global) }
      try global.note(within.line)
    }
    let file = try outputs.file(output, .statistics)
    let statistics = try calibration.gather(source, pool: pool, memory: within, part: part) {
      bar.show($0, "calibrating")
    }
    bar.clear()
    let bytes = try statistics.encoded()
    try file.finish(with: bytes)
    if global.json {
      try Console.print([
        "output": JSONValue(output), "bytes": JSONValue(bytes.count), "tokens": JSONValue(statistics.tokens),
        "matrices": JSONValue(statistics.matrices.count), "fingerprint": JSONValue(statistics.fingerprint),
      ])
    } else if !global.quiet {
      try Console.print(
        "\(output): inputs of \(statistics.matrices.count) matrices over \(statistics.tokens) tokens, "
          + "\(NumberText.bytes(bytes.count))")
    }
  }

  /// The user's own samples; nil where none were given.
  private func samples() throws -> Calibration? {
    if let probes { return try Calibration(probes: probes) }
    return try asking.questions(probes: nil).map { questions in
      Calibration(samples: questions.map { Calibration.Sample($0) }, name: "\(questions.count) questions")
    }
  }
}
