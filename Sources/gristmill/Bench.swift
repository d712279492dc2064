import ArgumentParser
import GristCore
import GristKernels
import GristModel

struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure how fast a model is here, beside what the machine allows.",
    discussion: """
      Inputs are synthetic: random tokens, a picture of noise. Tower, router, prompts and decoding are timed; then the \
      machine's limits: how fast all threads read memory, and how fast they multiply int8 between registers. Medians over \
      the repetitions.
      """)

  @Argument(help: "A .grist file, or a checkpoint folder.")
  var model: String?

  @Flag(
    help: ArgumentHelp(
      "Instead of a model: find what suits this machine.",
      discussion: """
        Tries for about a minute how weights are best asked for ahead of their turn and how many of them the cache is \
        to hold, and keeps the outcome in the user's cache folder for every command that runs a model with as many \
        threads. It changes no result. Leave the machine alone meanwhile.
        """))
  var tune = false

  @Option(
    help: ArgumentHelp(
      "Lengths of prompts, or none.", discussion: "Default: 512,2900, as far as the model takes them.",
      valueName: "rows,…"))
  var prefill: NumberList?

  @Option(
    help: ArgumentHelp(
      "Rows in the cache before tokens are decoded, or none.",
      discussion: "Default: 0,512,2900, as far as the model takes them.", valueName: "rows,…"))
  var depths: NumberList?

  @Option(help: ArgumentHelp("Tokens to decode at each depth.", valueName: "n"))
  var decodeTokens = 16

  @Option(help: ArgumentHelp("How often to measure everything.", valueName: "n"))
  var repetitions = 1

  @Flag(
    help: ArgumentHelp(
      "Run every prompt once before its time is taken.",
      discussion: "As other programs' benchmarks do: the system has cleared the memory by then."))
  var warmUp = false

  @Flag(help: "Leave out tower and router.")
  var textOnly = false

  @OptionGroup var memory: MemoryOptions
  @OptionGroup var options: ComputeOptions
  @OptionGroup var global: GlobalOptions

  func validate() throws {
    if tune == (model != nil) { throw ValidationError("give either a model or --tune") }
    if decodeTokens < 1 { throw ValidationError("--decode-tokens must be 1 or more, not \(decodeTokens)") }
    if repetitions < 1 { throw ValidationError("--repetitions must be 1 or more, not \(repetitions)") }
  }

  func run() throws {
    guard let model else { return try findTuning() }
    let benchmark = try Benchmark(
      path: model, options: options.checkpoint.sourceOptions(), budget: memory.memoryBudget?.budget,
      compute: options.compute(global)
    ) {
      try BenchmarkPlan(
        prefillRows: prefill?.values, depths: depths?.values, decodeTokens: decodeTokens, repetitions: repetitions,
        warmsUp: warmUp, seesImages: !textOnly, maximumLength: $0)
    }
    if let plan = benchmark.memoryPlan {
      if memory.dryRun { return try Console.print(plan, global) }
      for line in plan.lines { try global.note(line) }
    }
    var bar = ProgressBar(quiet: global.quiet)
    let report = try benchmark.run { bar.show($0, $1) }
    bar.clear()
    if global.json { try Console.print(report.json) } else { try Console.print(BenchText.describe(report)) }
  }
}

extension Bench {
  private func findTuning() throws {
    guard let file = TuningFile() else {
      throw GristError(
        .usage, "there is no cache folder to keep the outcome in", advice: "set XDG_CACHE_HOME or HOME")
    }
    let pool = try global.pool()
    var bar = ProgressBar(quiet: global.quiet)
    let found = try KernelTuner(pool: pool).run(from: KernelTuning.builtIn.tuning) { bar.show($0, $1) }
    bar.clear()
    try file.keep(found.tuning, threads: pool.threadCount)
    if global.json {
      try Console.print(TuningText.json(found.tuning, found.steps, path: file.path))
    } else {
      try Console.print(TuningText.describe(found.tuning, found.steps, path: file.path))
    }
  }
}

/// Numbers with commas between them, or "none".
struct NumberList: ExpressibleByArgument {
  let values: [Int]

  init?(argument: String) {
    if argument == "none" {
      values = []
      return
    }
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    guard !parts.contains(nil) else { return nil }
    values = parts.compactMap { $0 }
  }
}
