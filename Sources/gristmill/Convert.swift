import ArgumentParser
import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources

struct Convert: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Convert a checkpoint to one .grist file, or convert such a file again.",
    discussion: """
      Without options you get int4 weights, calibrated in a few minutes: under a third of a 16-bit checkpoint's size. The \
      option that you most likely want is --recipe: int8 is almost twice as large and loses next to nothing; \
      int4-exact-choices makes the checkpoint's router choices on any question. --calibrate full takes longer and \
      loses a quarter less. --dry-run shows what would be done.

      Recipes: source (every tensor as it came), f32, f16, bf16, int8, int4 (the language model's linear layers in int4, \
      everything the router depends on, embeddings and head in int8), int4-exact-choices (the same, but everything the \
      router depends on as it came), int4-all (tower, language model and head in int4, embeddings, projector and \
      router in int8). Norms, biases, position embeddings, voter and newline always stay as they came.
      """)

  @Argument(help: "A checkpoint folder (safetensors or HDF5), or a .grist file.")
  var source: String

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The file to write; not needed with --dry-run.", valueName: "model.grist"))
  var output: String?

  @Option(
    help: ArgumentHelp(
      "How to store the tensors. Default: int4; of a .grist file, as they are stored there.", valueName: "recipe"))
  var recipe: Recipe.Name?

  @Option(help: ArgumentHelp("Input columns that share a scale: 32, 64 or 128.", valueName: "n"))
  var groupSize = RequestedScheme.defaultGroupSize

  @Option(
    name: .customLong("set"), parsing: .singleValue,
    help: ArgumentHelp(
      "Store tensors whose name matches REGEX as SCHEME: source, f32, f16, bf16, int8, int4 or int4-uniform, the "
        + "last three also with a group size (int4:32). May be repeated; the last match wins.",
      valueName: "regex=scheme"))
  var overrides: [String] = []

  @Option(
    help: ArgumentHelp(
      "How int4 weights are calibrated: error feedback (GPTQ) inside blocks of 64 columns, or full, among all columns of "
        + "the language model's matrices, layer by layer (slower, more accurate). Default: block, where a tensor becomes "
        + "int4 and the model can be run.",
      valueName: "none|block|full"))
  var calibrate: CalibrationMode?

  @Option(
    help: ArgumentHelp(
      "Questions to calibrate with; the model answers those that have no answer. Default: bundled conversations and "
        + "photographs.",
      valueName: "file"))
  var probes: String?

  @Option(
    help: ArgumentHelp(
      "Statistics that `gristmill calibrate` wrote, instead of running the model now.", valueName: "stats"))
  var stats: String?

  @Option(
    help: ArgumentHelp(
      "Average bits a weight, scales included, for the matrices that the recipe has in int4 (with int4-all also those in "
        + "int8). The loss of each at 4 bits is measured, and more bits go where they reduce it most.",
      valueName: "bits"))
  var targetBits: Double?

  @Option(
    name: .customLong("guard"),
    help: ArgumentHelp(
      "Questions on which the router must choose as the source's does, but for ties: where one flips, the parts that flip "
        + "it are found and stored with more bits, the cheapest first, until all hold.",
      valueName: "file"))
  var guardedBy: String?

  @Option(
    help: ArgumentHelp(
      "Whether chunks are packed with zstd, a few to twelve percent smaller, or stored raw: faster within a memory budget from a disk of more than about 1 GB/s.",
      valueName: "zstd|raw"))
  var pack: Packing = .zstd

  @Flag(help: "Quantize what is quantized already, by another scheme.")
  var again = false

  @OptionGroup var outputs: OutputOptions
  @OptionGroup var checkpoint: CheckpointOptions

  @Flag(help: "Show what would be done, tensor by tensor, and write nothing.")
  var dryRun = false

  @OptionGroup var global: GlobalOptions

  func validate() throws {
    if output == nil, !dryRun { throw ValidationError("name the file to write with --output") }
    if calibrate == CalibrationMode.none, targetBits == nil, probes != nil {
      throw ValidationError("--probes goes with --calibrate block or full, or --target-bits")
    }
    if calibrate == CalibrationMode.none || calibrate == .full, stats != nil {
      throw ValidationError("--stats goes with --calibrate block")
    }
    if guardedBy != nil, dryRun { throw ValidationError("--guard converts to find out; it goes without --dry-run") }
    if probes != nil, stats != nil { throw ValidationError("give either --probes or --stats") }
  }

  func run() throws {
    let clock = ContinuousClock()
    let start = clock.now
    let source = try Source.open(path: source, options: checkpoint.sourceOptions())
    let pool = try global.pool()
    let conversion = try Conversion(source, options: conversionOptions(), pool: pool)
    var bar = ProgressBar(quiet: global.quiet)
    func report(_ event: Conversion.Event) throws {
      switch event {
      case .progress(let fraction, let what): bar.show(fraction, what)
      case .note(let note):
        bar.clear()
        try global.note("note: \(note.visible())")
      }
    }
    if dryRun {
      let plan = try conversion.plan(report: report)
      bar.clear()
      return try show(plan, threads: pool.threadCount)
    }
    // Whatever speaks against the output is said before the work.
    guard let file = try output.map({ try outputs.file($0, .grist) }) else { return }
    let summary = try conversion.run(to: file, report: report)
    bar.clear()
    try show(summary, seconds: (clock.now - start).seconds, threads: pool.threadCount)
  }

  private func conversionOptions() throws -> Conversion.Options {
    var options = Conversion.Options()
    (options.recipe, options.groupSize, options.packing) = (recipe, groupSize, pack)
    options.overrides = try overrides.map { try StorageOverride($0, groupSize: groupSize) }
    (options.calibration, options.targetBits, options.requantizes) = (calibrate, targetBits, again)
    options.samples = try probes.map { try Calibration(probes: $0) }
    options.guardedQuestions = try guardedBy.map { try Question.read(path: $0) }
    options.statistics = try stats.map { try StatisticsFile(path: $0) }
    return options
  }

  private func show(_ summary: Conversion.Summary, seconds: Double, threads: Int) throws {
    let sourceBytes = summary.plan.sourceBytes
    // Of what can be run; what cannot was a note of the conversion.
    let running = (try? Source.open(path: summary.path)).flatMap { RunningMemory($0) }
    if global.json {
      let document: JSONValue = [
        "output": JSONValue(summary.path), "recipe": JSONValue(summary.recipe.rawValue),
        "bytes": JSONValue(summary.byteCount), "source_bytes": JSONValue(sourceBytes),
        "tensors": JSONValue(summary.plan.entries.count), "seconds": JSONValue(seconds),
        "peak_resident_bytes": JSONValue(peakResidentBytes()),
        "memory_bound_bytes": JSONValue(summary.plan.memoryBound(threads: threads)),
        "calibration": summary.calibration.map { JSONValue($0) } ?? .null, "notes": JSONValue(summary.notes),
        "running": running?.json ?? .null, "guarded": summary.guarded?.json ?? .null,
      ]
      return try Console.print(document)
    }
    if global.quiet { return }
    let ratio = Double(summary.byteCount) / Double(max(sourceBytes, 1))
    try Console.print(
      "\(summary.path): \(NumberText.bytes(summary.byteCount)), \(NumberText.percent(ratio)) of the source's "
        + "\(NumberText.bytes(sourceBytes)); \(summary.plan.entries.count) tensors, recipe \(summary.recipe.rawValue), "
        + (summary.calibration.map { "calibrated \($0.visible()), " } ?? "")
        + "\(NumberText.fixed(seconds, digits: 1)) s, peak memory \(NumberText.bytes(peakResidentBytes()))")
    if let guarded = summary.guarded { try Console.print(guarded.lines.joined(separator: "\n")) }
    if let running { try Console.print(running.sentence) }
  }

  private func show(_ planned: Conversion.Plan, threads: Int) throws {
    let plan = planned.tensors
    if global.json {
      let document: JSONValue = [
        "recipe": JSONValue(planned.recipe.rawValue), "calibrate": JSONValue(planned.calibration.rawValue),
        "architecture": JSONValue(plan.architecture),
        "exact_choices": plan.hasExactChoices.map { JSONValue($0) } ?? .null,
        "payload_bytes": JSONValue(plan.payloadBytes), "source_bytes": JSONValue(plan.sourceBytes),
        "memory_bound_bytes": JSONValue(plan.memoryBound(threads: threads)), "notes": JSONValue(planned.notes),
        "tensors": .array(
          plan.segments.flatMap { segment in
            segment.entries.map { entry in
              [
                "name": JSONValue(entry.tensor.name), "segment": JSONValue(segment.name),
                "shape": JSONValue(entry.tensor.shape), "source": JSONValue(entry.tensor.elementType.rawValue),
                "scheme": JSONValue(entry.scheme.name), "bytes": JSONValue(entry.payloadBytes),
                "reason": JSONValue(entry.reason),
              ]
            }
          }),
      ]
      return try Console.print(document)
    }
    try Console.printTable(
      heading: ["tensor", "shape", "source", "scheme", "bytes", "because"], plan.entries, leftAligned: [0, 5]
    ) { entry in
      [
        entry.tensor.name, entry.tensor.shape.map(String.init).joined(separator: "×"),
        entry.tensor.elementType.rawValue, entry.scheme.name, "\(entry.payloadBytes)", entry.reason,
      ]
    }
    for note in planned.notes { try Console.print("note: \(note.visible())") }
    if let sign = plan.sign { try Console.print("family: \(plan.architecture), as \(sign.visible()) in config.json") }
    if let exact = plan.hasExactChoices {
      try Console.print(
        exact
          ? "router choices: the reference's by construction, all that they depend on stays as it came"
          : "router choices: may differ, verify tells how many; --recipe int4-exact-choices keeps them")
    }
    if let samples = planned.samples {
      try Console.print("calibration: \(planned.calibration.rawValue), with \(samples.visible())")
    }
    try Console.print(
      "total: \(NumberText.bytes(plan.sourceBytes)) → \(NumberText.bytes(plan.payloadBytes)) before packing; "
        + "memory stays below \(NumberText.bytes(plan.memoryBound(threads: threads)))"
        + (planned.calibration == .none ? "" : " once the model was calibrated"))
  }
}

extension Recipe.Name: ExpressibleByArgument {}
extension Packing: ExpressibleByArgument {}
extension CalibrationMode: ExpressibleByArgument {}
