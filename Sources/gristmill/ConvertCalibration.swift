import ArgumentParser
import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources
import GristVerification

/// How a conversion uses what flows into the matrices.
enum CalibrationMode: String, ExpressibleByArgument, CaseIterable {
  case none, block, full
}

/// What a conversion is going to do about rounding errors, known before the model is run.
struct PlannedCalibration {
  var mode = CalibrationMode.none
  /// The model to be watched; nil where none is.
  var model: ModelSource?
  /// What it is to be watched with, unless statistics are there.
  var samples: Calibration?
  var statistics: InputStatistics?
  /// Names of the matrices whose inputs will be known.
  var matrices: Set<ByteName> = []
  /// What whoever did not ask for it should know.
  var notes: [String] = []

  /// What is known of the inputs, for people.
  var sampleNames: String? { statistics?.text ?? samples?.name }
}

extension Convert {
  /// What was asked for, or `block` where nothing was and it can be had.
  ///
  /// - Throws: 64 where calibration was asked for and could do nothing, and whatever the plan or reading the questions throws.
  func calibration(of source: ConversionSource, _ overrides: [StorageOverride], _ pool: ThreadPool) throws
    -> PlannedCalibration
  {
    if calibrate == CalibrationMode.none { return PlannedCalibration() }
    let isAsked = calibrate != nil || probes != nil || stats != nil
    // What cannot be is said before an hour of watching a model.
    let plan = try ConversionPlan(
      source, recipe: Recipe(recipeName(for: source), groupSize: groupSize, overrides: overrides))
    guard plan.hasCodeTables else {
      guard isAsked, targetBits == nil || calibrate != nil else { return PlannedCalibration() }
      throw GristError(
        .usage, "there is nothing to calibrate: no tensor becomes int4",
        advice: "leave --calibrate, --probes and --stats out, or choose a recipe or --set with int4")
    }
    let model = try ModelSource.open(path: self.source, reading: checkpoint.reading())
    if !isAsked, let obstacle = try obstacle(to: source, model, pool) {
      return PlannedCalibration(notes: ["not calibrated, 4-bit codes are rounded each for itself: \(obstacle)"])
    }
    try Reference.refuseCalibration(on: model.loss, of: self.source)
    var planned = PlannedCalibration(mode: calibrate ?? .block, model: model)
    if let stats {
      let statistics = try InputStatistics(path: stats)
      (planned.statistics, planned.matrices) = (statistics, statistics.matrices)
    } else {
      let inventory = try source.inventory()
      let samples = try Calibration.from(probes: probes, for: inventory?.configuration)
      (planned.samples, planned.matrices) = (samples, samples.matrices(of: inventory?.tensors ?? []))
    }
    return planned
  }

  /// What `run` would say of the model; nil where it would run it, or where the architecture is not known at all.
  func obstacleToRunning(_ source: ConversionSource, _ pool: ThreadPool) throws -> String? {
    guard try source.inventory()?.configuration != nil else { return nil }
    do {
      let model = try ModelSource.open(path: self.source, reading: checkpoint.reading()).model(
        compute: Compute(pool: pool))
      _ = try Conversation(message: "?", hasImage: model.configuration.vision != nil, clock: .now)
        .rendering(model.configuration.format)
    } catch let error as GristError where error.code == .badData || error.code == .missingInput {
      return "\(error)"
    }
    return nil
  }

  /// Why a model cannot be watched; nil where it can.
  private func obstacle(to source: ConversionSource, _ model: ModelSource, _ pool: ThreadPool) throws -> String? {
    guard let configuration = try source.inventory()?.configuration else { return "the model cannot be run" }
    if let loss = model.loss { return "of the source, " + loss }
    do {
      _ = try model.parameters(pool: pool).tokenizer(configuration.tokenizers)
    } catch let error as GristError where error.code == .missingInput {
      return error.what
    }
    return nil
  }

  /// What matrices get of --target-bits; nothing without it.
  ///
  /// - Throws: 64 for a budget that cannot be, and what running the model throws.
  func allotments(
    _ source: ConversionSource, _ overrides: [StorageOverride], _ planned: PlannedCalibration, _ pool: ThreadPool
  ) throws -> [ByteName: Recipe.Allotment] {
    guard let targetBits else { return [:] }
    let recipe = try Recipe(recipeName(for: source), groupSize: groupSize, overrides: overrides)
    let plan = try ConversionPlan(source, recipe: recipe)
    let model = try planned.model ?? ModelSource.open(path: self.source, reading: checkpoint.reading())
    try Reference.refuseCalibration(on: model.loss, of: self.source)
    let allotment = BitAllotment(targetBits: targetBits, groupSize: groupSize)
    let samples = try planned.samples ?? Calibration.from(probes: probes, for: source.inventory()?.configuration)
    let names = try allotment.matrices(
      of: plan, recipe: recipe, withPictures: samples.samples.contains { $0.picture != nil })
    var bar = ProgressBar(quiet: global.quiet)
    defer { bar.clear() }
    let isCalibrated = planned.mode != .none
    let seeing = try PictureSensitivityProbe(samples, model, isCalibrated: isCalibrated, pool: pool)
      .measure(names, choices: allotment.choices) { bar.show($0, "measuring what bits save where it looks") }
    let speaking = try SensitivityProbe(samples, model, isCalibrated: isCalibrated, pool: pool)
      .measure(names, choices: allotment.choices) { bar.show($0, "measuring what bits save where it speaks") }
    return try allotment.spend(seeing + speaking)
  }

  /// How rounding errors are fed on: by statistics that are there or gathered now, or layer by layer.
  ///
  /// - Throws: 65 for statistics of other weights, and what running the model throws.
  func feedback(
    _ planned: PlannedCalibration, _ source: ConversionSource, _ pool: ThreadPool
  ) throws -> (any FeedbackSource)? {
    guard let model = planned.model else { return nil }
    if let stats, let statistics = planned.statistics {
      try statistics.require(fingerprint: model.fingerprint(), path: stats)
      return BlockFeedback(statistics)
    }
    guard let samples = planned.samples else { return nil }
    if let note = try source.inventory()?.configuration.flatMap({ CalibrationFormat($0).note }) {
      try global.note("note: \(note)")
    }
    var bar = ProgressBar(quiet: global.quiet)
    defer { bar.clear() }
    guard planned.mode == .full else {
      return BlockFeedback(
        try samples.gather(model, pool: pool, kept: false) { bar.show($0, "watching the matrices") })
    }
    bar.show(0, "preparing prompts")
    let progress = try output.map {
      try CalibrationProgress(folder: $0 + ".unfinished", key: progressKey(samples, model, source))
    }
    let feedback = try LayerwiseFeedback(samples, model, pool: pool, progress: progress)
    for note in feedback.notes { try global.note("note: \(note)") }
    return feedback
  }

  /// What two full calibrations with the same result have in common.
  private func progressKey(
    _ calibration: Calibration, _ model: ModelSource, _ source: ConversionSource
  ) throws -> String {
    // Configuration, tokenizer and template decide what flows through the model, as much as its weights do; products in
    // f32 end in other bits on another instruction set.
    let files = source.files.sorted { ByteName($0.name) < ByteName($1.name) }.map {
      JSONValue([$0.name, sha256($0.bytes)])
    }
    let document: JSONValue = [
      "version": JSONValue(gristmillVersion), "fingerprint": JSONValue(try model.fingerprint()),
      "recipe": JSONValue(recipeName(for: source).rawValue), "group_size": JSONValue(groupSize),
      "overrides": JSONValue(overrides),
      "target_bits": targetBits.map { JSONValue($0) } ?? .null, "samples": JSONValue(calibration.digest),
      "files": .array(files), "ignored_keys": JSONValue(checkpoint.ignoreKey.sorted()),
      "template": source.choices.template.map { JSONValue($0) } ?? .null,
      "instructions": JSONValue(Compute.instructionSet),
    ]
    return document.text()
  }
}
