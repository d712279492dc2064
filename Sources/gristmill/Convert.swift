import ArgumentParser
import GristCalibration
import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristModel
import GristQuantization
import GristVerification

struct Convert: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Convert a checkpoint folder, or requantize a .grist file.",
    discussion: """
      Recipes: source (every tensor as it came), f32, f16, bf16, int8, int4 (the language model's linears in int4, \
      everything the router depends on, embeddings and head in int8), int4-exact-choices (the same, but everything the \
      router depends on as it came: its choices are the reference's on any question), int4-all (every matrix in int4). Norms, biases, \
      position embeddings, voter and newline always stay as they came.
      """)

  @Argument(help: "A checkpoint folder (safetensors or HDF5), or a .grist file.")
  var source: String

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The file to write; not needed with --dry-run.", valueName: "model.grist"))
  var output: String?

  @Option(help: ArgumentHelp("How to store the tensors.", valueName: "recipe"))
  var recipe: Recipe.Name = .int4

  @Option(help: ArgumentHelp("Input columns that share a scale: 32, 64 or 128.", valueName: "n"))
  var groupSize = StorageChoice.defaultGroupSize

  @Option(
    name: .customLong("set"), parsing: .singleValue,
    help: ArgumentHelp(
      "Store tensors whose name matches REGEX as SCHEME: source, f32, f16, bf16, int8, int4 or int4-uniform, the "
        + "last three also with a group size (int4:32). May be repeated; the last match wins.",
      valueName: "regex=scheme"))
  var overrides: [String] = []

  @Option(
    help: ArgumentHelp(
      "Whether rounding errors of 4-bit codes are fed on, by what flows into each matrix: inside blocks of columns, or "
        + "among all columns of the language model, layer after layer (slower, truer).",
      valueName: "none|block|full"))
  var calibrate: CalibrationMode = .none

  @Option(
    help: ArgumentHelp(
      "With --calibrate: questions that the model answers first; without, bundled conversations serve.",
      valueName: "file"))
  var probes: String?

  @Option(
    help: ArgumentHelp(
      "With --calibrate block: what `gristmill calibrate` wrote, instead of gathering it now.", valueName: "stats"))
  var stats: String?

  @Option(
    help: ArgumentHelp(
      "Bits that the language model's matrices may take on average, a weight, scales counted in: what 4 bits would cost each of "
        + "them is measured, and more bits go where they save most.",
      valueName: "bits"))
  var targetBits: Double?

  @Option(help: ArgumentHelp("Whether chunks are packed with zstd or stored raw.", valueName: "zstd|raw"))
  var pack: Packing = .zstd

  @OptionGroup var checkpoint: CheckpointOptions

  @Flag(help: "Show what would be done, tensor by tensor, and write nothing.")
  var dryRun = false

  @OptionGroup var global: GlobalOptions

  func validate() throws {
    if output == nil, !dryRun { throw ValidationError("name the file to write with --output") }
    if calibrate == .none, targetBits == nil, probes != nil {
      throw ValidationError("--probes goes with --calibrate block or full, or --target-bits")
    }
    if calibrate != .block, stats != nil { throw ValidationError("--stats goes with --calibrate block") }
    if probes != nil, stats != nil { throw ValidationError("give either --probes or --stats") }
  }

  func run() throws {
    let overrides = try overrides.map { try StorageOverride($0, groupSize: groupSize) }
    let source = try ConversionSource.open(path: source, reading: checkpoint.reading())
    // What cannot be is said before an hour of watching a model.
    if calibrate != .none { try requireCodeTables(source, overrides) }
    let pool = try global.pool()
    let allotments = try allotments(source, overrides, pool)
    let feedback = try feedback(pool)
    let recipe = try Recipe(
      recipe, groupSize: groupSize, overrides: overrides, calibrated: feedback?.matrices ?? [], allotments: allotments)
    let plan = try ConversionPlan(source, recipe: recipe)
    if dryRun { return try show(plan, recipe, threads: pool.threadCount) }
    guard let output else { return }
    for note in plan.notes { try global.note("note: \(note.visible())") }
    var bar = ProgressBar(quiet: global.quiet)
    let clock = ContinuousClock()
    let start = clock.now
    let summary: Converter.Summary
    do {
      summary = try Converter(pool: pool, packing: pack).convert(
        source, plan: plan, recipe: recipe, to: output, feedback: feedback
      ) {
        bar.show(Double($0.sourceBytesDone) / Double(max($0.sourceBytes, 1)), $0.tensor)
      }
    } catch var error as GristError where error.code == .interrupted && calibrate == .full {
      error.advice = "give the same command again to go on from what \(output).unfinished holds"
      throw error
    }
    bar.clear()
    feedback?.conclude()
    for note in summary.notes { try global.note("note: \(note.visible())") }
    try report(summary, plan, seconds: (clock.now - start).seconds, threads: pool.threadCount)
  }

  /// - Throws: 64 where calibration could do nothing, and whatever the plan throws.
  private func requireCodeTables(_ source: ConversionSource, _ overrides: [StorageOverride]) throws {
    let plan = try ConversionPlan(source, recipe: Recipe(recipe, groupSize: groupSize, overrides: overrides))
    guard plan.hasCodeTables else {
      throw GristError(
        .usage, "--calibrate has nothing to do: no tensor becomes int4",
        advice: "leave it out, or choose a recipe or --set with int4")
    }
  }

  /// What the matrices that the recipe would make int4 get of --target-bits; nothing without it.
  private func allotments(
    _ source: ConversionSource, _ overrides: [StorageOverride], _ pool: ThreadPool
  ) throws -> [ByteName: Recipe.Allotment] {
    guard let targetBits else { return [:] }
    let plan = try ConversionPlan(source, recipe: Recipe(recipe, groupSize: groupSize, overrides: overrides))
    let model = try ModelSource.open(path: self.source, reading: checkpoint.reading())
    try Reference.refuseLoss(model.loss, of: self.source)
    let allotment = BitAllotment(targetBits: targetBits, groupSize: groupSize)
    let names = try allotment.matrices(of: plan, overrides: overrides)
    var bar = ProgressBar(quiet: global.quiet)
    defer { bar.clear() }
    let probe = try SensitivityProbe(
      Calibration.from(probes: probes), model, isCalibrated: calibrate != .none, pool: pool)
    let measured = try probe.measure(names, choices: allotment.choices) { bar.show($0, "measuring what bits save") }
    return try allotment.spend(measured)
  }

  /// How rounding errors are fed on: by statistics that are read or gathered now, or layer by layer.
  private func feedback(_ pool: ThreadPool) throws -> (any FeedbackSource)? {
    if calibrate == .none { return nil }
    let model = try ModelSource.open(path: source, reading: checkpoint.reading())
    try Reference.refuseLoss(model.loss, of: source)
    if let stats {
      let statistics = try InputStatistics(path: stats)
      try statistics.require(fingerprint: model.fingerprint(), path: stats)
      return BlockFeedback(statistics)
    }
    var bar = ProgressBar(quiet: global.quiet)
    defer { bar.clear() }
    let calibration = try Calibration.from(probes: probes)
    if calibrate == .full {
      bar.show(0, "preparing prompts")
      let progress = try output.map {
        try CalibrationProgress(folder: $0 + ".unfinished", key: progressKey(calibration, model))
      }
      let feedback = try LayerwiseFeedback(calibration, model, pool: pool, progress: progress)
      for note in feedback.notes { try global.note("note: \(note)") }
      return feedback
    }
    return BlockFeedback(try calibration.gather(model, pool: pool) { bar.show($0, "watching the matrices") })
  }

  /// What two full calibrations with the same result have in common.
  private func progressKey(_ calibration: Calibration, _ model: ModelSource) throws -> String {
    let document: JSONValue = [
      "version": JSONValue(gristmillVersion), "fingerprint": JSONValue(try model.fingerprint()),
      "recipe": JSONValue(recipe.rawValue), "group_size": JSONValue(groupSize), "overrides": JSONValue(overrides),
      "target_bits": targetBits.map { JSONValue($0) } ?? .null, "samples": JSONValue(calibration.digest),
    ]
    return document.text()
  }

  private func report(_ summary: Converter.Summary, _ plan: ConversionPlan, seconds: Double, threads: Int) throws {
    if global.json {
      let document: JSONValue = [
        "output": JSONValue(summary.path), "recipe": JSONValue(recipe.rawValue), "bytes": JSONValue(summary.byteCount),
        "source_bytes": JSONValue(summary.sourceBytes), "tensors": JSONValue(summary.tensors),
        "seconds": JSONValue(seconds), "peak_resident_bytes": JSONValue(peakResidentBytes()),
        "memory_bound_bytes": JSONValue(plan.memoryBound(threads: threads)),
        "notes": JSONValue(plan.notes + summary.notes),
      ]
      return try Console.print(document)
    }
    if global.quiet { return }
    let ratio = Double(summary.byteCount) / Double(max(summary.sourceBytes, 1))
    try Console.print(
      "\(summary.path): \(Format.bytes(summary.byteCount)), \(Format.percent(ratio)) of the source's "
        + "\(Format.bytes(summary.sourceBytes)); \(summary.tensors) tensors, recipe \(recipe.rawValue), "
        + "\(Format.number(seconds, digits: 1)) s, peak memory \(Format.bytes(peakResidentBytes()))")
  }

  private func show(_ plan: ConversionPlan, _ recipe: Recipe, threads: Int) throws {
    if global.json {
      let document: JSONValue = [
        "recipe": JSONValue(recipe.name.rawValue), "architecture": JSONValue(plan.architecture),
        "exact_choices": plan.hasExactChoices.map { JSONValue($0) } ?? .null,
        "payload_bytes": JSONValue(plan.payloadBytes), "source_bytes": JSONValue(plan.sourceBytes),
        "memory_bound_bytes": JSONValue(plan.memoryBound(threads: threads)), "notes": JSONValue(plan.notes),
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
    var rows = [["tensor", "shape", "source", "scheme", "bytes", "because"]]
    for entry in plan.entries {
      rows.append([
        entry.tensor.name, entry.tensor.shape.map(String.init).joined(separator: "×"),
        entry.tensor.elementType.rawValue, entry.scheme.name, "\(entry.payloadBytes)", entry.reason,
      ])
    }
    try Console.print(Format.table(rows, leftAligned: [0, 5]))
    for note in plan.notes { try Console.print("note: \(note.visible())") }
    if let sign = plan.sign { try Console.print("family: \(plan.architecture), as \(sign.visible()) in config.json") }
    if let exact = plan.hasExactChoices {
      try Console.print(
        exact
          ? "router choices: the reference's by construction, all that they depend on stays as it came"
          : "router choices: may differ, verify tells how many; --recipe int4-exact-choices keeps them")
    }
    try Console.print(
      "total: \(Format.bytes(plan.sourceBytes)) → \(Format.bytes(plan.payloadBytes)) before packing; "
        + "memory stays below \(Format.bytes(plan.memoryBound(threads: threads)))")
  }
}

/// How a conversion uses what flows into the matrices.
enum CalibrationMode: String, ExpressibleByArgument, CaseIterable {
  case none, block, full
}

extension Recipe.Name: ExpressibleByArgument {}
extension Packing: ExpressibleByArgument {}
