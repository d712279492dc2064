import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources

/// Turns a source into a `.grist` file: what is asked for, what that comes to, and the work itself.
///
///     let source = try Source.open(path: "checkpoint")
///     let conversion = try Conversion(source, pool: ThreadPool(threads: 4))
///     try conversion.run(to: AtomicFile(path: "model.grist", kind: .grist))
///
/// ``plan(report:)`` tells what ``run(to:report:)`` would do and writes nothing. Both measure what a budget of bits
/// (``Options/targetBits``) needs to know, which runs the model; all that can be known without is checked before.
public struct Conversion: Sendable {
  public struct Options: Sendable {
    /// Nil for what suits the source: `int4` for a checkpoint, `source` for a `.grist` file.
    public var recipe: Recipe.Name?
    /// Input columns that share a scale: 32, 64 or 128.
    public var groupSize = RequestedScheme.defaultGroupSize
    /// Exceptions from the recipe; the last that matches a tensor's name counts.
    public var overrides: [StorageOverride] = []
    /// Nil for ``CalibrationMode/block`` where a tensor becomes int4 and the model can be run.
    public var calibration: CalibrationMode?
    /// What the model is calibrated with; nil for what is bundled.
    public var samples: Calibration?
    /// What `gristmill calibrate` wrote, instead of running the model now.
    public var statistics: StatisticsFile?
    /// Bits a weight that the matrices which the recipe leaves to a budget may take on average, scales counted in.
    public var targetBits: Double?
    public var packing = Packing.zstd
    /// Questions about pictures on which the router must choose as the source's does: what that takes is stored with
    /// more bits. Nil guards nothing.
    public var guardedQuestions: [Question]?
    /// A choice that differs is a tie, and holds, where the source's margin is below this.
    public var tieMargin = 0.02
    /// Whether what is quantized already may be quantized again by another scheme.
    public var requantizes = false

    public init() {}
  }

  /// Something that happens on the way.
  public enum Event {
    /// The fraction done of a stage, and what is being done.
    case progress(Double, String)
    /// What whoever asked for the conversion should know.
    case note(String)
  }

  /// What a conversion is going to do.
  public struct Plan: Sendable {
    /// Every tensor with its scheme.
    public let tensors: ConversionPlan
    public let recipe: Recipe.Name
    public let calibration: CalibrationMode
    /// What the model is calibrated with, for people; nil where it is not.
    public let samples: String?
    public let notes: [String]
  }

  /// What a conversion did.
  public struct Summary: Sendable {
    public let path: String
    public let byteCount: Int
    public let plan: ConversionPlan
    public let recipe: Recipe.Name
    /// How rounding errors were corrected, for people; nil where they were not.
    public let calibration: String?
    public let notes: [String]
    /// What guarding the router's choices took; nil where they were not guarded.
    public let guarded: GuardedChoices?
  }

  public let source: Source
  public let options: Options
  let pool: ThreadPool

  /// - Throws: 64 where quantized tensors would be quantized once more and nobody said that this is meant, and for
  ///   options that do not go with the source; 65 for a source that lacks a tensor.
  public init(_ source: Source, options: Options = Options(), pool: ThreadPool) throws {
    self.source = source
    self.options = options
    self.pool = pool
    try source.requireFittingOptions()
    try refuseQuantizingAgain()
  }

  /// The recipe that was named, or what suits the source.
  public var recipe: Recipe.Name { options.recipe ?? (source.file == nil ? .int4 : .source) }

  /// What will be done.
  ///
  /// - Throws: 64 for what cannot be asked for; with a budget of bits, what running the model throws.
  public func plan(report: (Event) throws -> Void = { _ in }) throws -> Plan {
    let (calibration, notes, assignments) = try prepare(report)
    let plan = try tensors(calibrated: calibration.matrices, assignments)
    return Plan(
      tensors: plan, recipe: recipe, calibration: calibration.mode, samples: calibration.sampleNames,
      notes: plan.notes + notes)
  }

  /// Converts. The file appears complete or not at all.
  ///
  /// - Throws: 64 for what cannot be asked for, 65 for tensors that are missing or cannot be stored, what running the
  ///   model, reading and writing throw, and 130 when the user interrupts.
  @discardableResult
  public func run(to output: AtomicFile, report: (Event) throws -> Void = { _ in }) throws -> Summary {
    let (calibration, notes, budgeted) = try prepare(report)
    let asking = try choiceAsking(calibration, report)
    let correction = try correction(calibration, output: output.path, report)
    let guarded = try asking.map { try guardChoices($0, budgeted, correction, output: output.path, report) }
    let assignments = guarded?.assignments ?? budgeted
    let plan = try tensors(calibrated: correction?.matrices ?? [], assignments)
    for note in plan.notes + notes { try report(.note(note)) }
    let converted: Converter.Summary
    do {
      converted = try Converter(pool: pool, packing: options.packing).convert(
        source, plan: plan, recipe: recipe(calibrated: [], [:]), to: output, correction: correction
      ) { try report(.progress(Double($0.sourceBytesDone) / Double(max($0.sourceBytes, 1)), $0.tensor)) }
    } catch var error as GristError where error.code == .interrupted && calibration.mode == .full {
      error.advice = "give the same command again to go on from what \(output.path).unfinished holds"
      throw error
    }
    correction?.conclude()
    for note in converted.notes { try report(.note(note)) }
    return Summary(
      path: output.path, byteCount: converted.byteCount, plan: plan, recipe: recipe, calibration: correction?.summary,
      notes: plan.notes + notes + converted.notes, guarded: guarded?.found)
  }

  /// The source's own choices on the questions that guard them; nil where none do.
  private func choiceAsking(
    _ calibration: CalibrationPolicy, _ report: (Event) throws -> Void
  ) throws -> ChoiceAsking? {
    guard let questions = options.guardedQuestions else { return nil }
    try source.requireNoLoss()
    guard calibration.mode != .full else {
      throw GristError(
        .usage, "choices are guarded by converting several times, which calibrating in full does not do",
        advice: "calibrate in blocks: what a choice depends on is calibrated so either way")
    }
    return try ChoiceAsking(source, questions, tieMargin: options.tieMargin, pool: pool) {
      try report(.progress($0, "asking the source's router"))
    }
  }

  private func guardChoices(
    _ asking: ChoiceAsking, _ base: [ByteName: Recipe.Assignment], _ correction: (any ErrorCorrection)?, output: String,
    _ report: (Event) throws -> Void
  ) throws -> (assignments: [ByteName: Recipe.Assignment], found: GuardedChoices) {
    try withoutActuallyEscaping(report) { report in
      let (assignments, found) = try ChoiceGuard(
        source, asking, groupSize: options.groupSize, folder: AtomicFolder(path: output + ".trials"), pool: pool
      ) { assignments in
        try tensors(calibrated: correction?.matrices ?? [], base.merging(assignments) { $1 })
      } convert: { assignments, path in
        let plan = try tensors(calibrated: correction?.matrices ?? [], base.merging(assignments) { $1 })
        _ = try Converter(pool: pool, packing: .raw).convert(
          source, plan: plan, recipe: recipe(), to: AtomicFile(path: path, kind: .grist), correction: correction
        ) {
          try report(.progress(Double($0.sourceBytesDone) / Double(max($0.sourceBytes, 1)), "a trial: \($0.tensor)"))
        }
      } report: {
        try report($0)
      }.guarded()
      return (base.merging(assignments) { $1 }, found)
    }
  }

  /// All that comes before the tensors' own plan.
  private func prepare(
    _ report: (Event) throws -> Void
  ) throws -> (calibration: CalibrationPolicy, notes: [String], assignments: [ByteName: Recipe.Assignment]) {
    let calibration = try CalibrationPolicy(self)
    var notes = calibration.notes
    if let obstacle = try obstacleToRunning() {
      notes.append("the model can be kept, but `run` will refuse it: \(obstacle)")
    }
    return (calibration, notes, try assignments(calibration, report))
  }

  func recipe(
    calibrated: Set<ByteName> = [], _ assignments: [ByteName: Recipe.Assignment] = [:]
  ) throws -> Recipe {
    try Recipe(
      recipe, groupSize: options.groupSize, overrides: options.overrides, calibrated: calibrated,
      assignments: assignments
    )
  }

  func tensors(
    calibrated: Set<ByteName> = [], _ assignments: [ByteName: Recipe.Assignment] = [:]
  ) throws -> ConversionPlan {
    try ConversionPlan(source, recipe: recipe(calibrated: calibrated, assignments))
  }

  private func refuseQuantizingAgain() throws {
    guard source.file != nil, !options.requantizes else { return }
    let names = try tensors().requantized
    guard let first = names.first else { return }
    throw GristError(
      .usage, "\(names.count) tensors are quantized already, and would be again by another scheme", file: source.path,
      tensor: first, advice: "convert the checkpoint itself, or pass --again")
  }

  /// What `run` would say of the model; nil where it would run it, or where the architecture is not known at all.
  private func obstacleToRunning() throws -> String? {
    guard source.inventory?.configuration != nil else { return nil }
    do {
      let model = try source.model(compute: Compute(pool: pool))
      _ = try Conversation(message: "?", hasImage: model.configuration.vision != nil, clock: CalibrationFormat.clock)
        .rendering(model.configuration.format)
    } catch let error as GristError where error.code == .badData || error.code == .missingInput {
      return "\(error)"
    }
    return nil
  }

  /// What matrices get of ``Options/targetBits``; nothing without it.
  private func assignments(
    _ calibration: CalibrationPolicy, _ report: (Event) throws -> Void
  ) throws -> [ByteName: Recipe.Assignment] {
    guard let targetBits = options.targetBits else { return [:] }
    try source.requireNoLoss()
    let budget = BitBudget(targetBits: targetBits, groupSize: options.groupSize)
    let samples = calibration.samples ?? options.samples ?? .bundled(for: source.inventory?.configuration)
    let names = try budget.matrices(
      of: tensors(), recipe: recipe(), withPictures: samples.samples.contains { !$0.question.pictures.isEmpty })
    let isCalibrated = calibration.mode != .none
    let seeing = try PictureSensitivityMeter(samples, source, isCalibrated: isCalibrated, pool: pool)
      .measure(names, schemes: budget.schemes) { try report(.progress($0, "measuring the loss of tower and router")) }
    let speaking = try SensitivityMeter(samples, source, isCalibrated: isCalibrated, pool: pool)
      .measure(names, schemes: budget.schemes) { try report(.progress($0, "measuring the loss of the language model")) }
    return try budget.spend(seeing + speaking)
  }

  /// How rounding errors are corrected: by statistics that are there or gathered now, or layer by layer.
  private func correction(
    _ calibration: CalibrationPolicy, output: String, _ report: (Event) throws -> Void
  ) throws -> (any ErrorCorrection)? {
    if let file = calibration.statistics {
      try file.statistics.require(fingerprint: source.fingerprint(), path: file.path)
      return BlockCorrection(file.statistics)
    }
    guard let samples = calibration.samples else { return nil }
    if let note = source.inventory?.configuration.flatMap({ CalibrationFormat($0).note }) { try report(.note(note)) }
    guard calibration.mode == .full else {
      return BlockCorrection(
        try samples.gather(source, pool: pool, kept: false) { try report(.progress($0, "calibrating")) })
    }
    try report(.progress(0, "preparing prompts"))
    let progress = try ResumeFolder(folder: output + ".unfinished", key: resumeKey(samples))
    let correction = try LayerwiseCorrection(samples, source, pool: pool, progress: progress)
    for note in correction.notes { try report(.note(note)) }
    return correction
  }

  /// What two full calibrations with the same result have in common.
  private func resumeKey(_ samples: Calibration) throws -> String {
    // Configuration, tokenizer and template decide what flows through the model, as much as its weights do; products in
    // f32 end in other bits on another instruction set.
    let files = try source.keptFiles().sorted { ByteName($0.name) < ByteName($1.name) }.map {
      JSONValue([$0.name, sha256($0.bytes)])
    }
    let document: JSONValue = [
      "version": JSONValue(gristmillVersion), "fingerprint": JSONValue(try source.fingerprint()),
      "recipe": JSONValue(recipe.rawValue), "group_size": JSONValue(options.groupSize),
      "overrides": JSONValue(options.overrides.map(\.text)),
      "target_bits": options.targetBits.map { JSONValue($0) } ?? .null, "samples": JSONValue(samples.digest),
      "files": .array(files), "ignored_keys": JSONValue(source.options.configuration.ignoredKeys.sorted()),
      "template": source.configurationOptions.template.map { JSONValue($0) } ?? .null,
      "instructions": JSONValue(Compute.instructionSet),
    ]
    return document.text()
  }
}
