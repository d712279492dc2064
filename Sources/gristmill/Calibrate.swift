import ArgumentParser
import GristConversion
import GristCore
import GristKernels
import GristModel
import GristSources
import GristVerification

struct Calibrate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Gather what flows into a checkpoint's matrices, for conversions that feed rounding errors on.",
    discussion: """
      Runs the checkpoint at full precision on questions and keeps the second moments of every matrix's inputs, in \
      blocks of 64. Gathered once, they serve every recipe. Without --probes, bundled conversations are fed through, \
      and photographs where the model sees; with it, the model answers the questions itself.
      """)

  @Argument(help: "The checkpoint folder, or a .grist file made with the recipe source.")
  var checkpoint: String

  @Option(
    help: ArgumentHelp(
      "Questions: [{\"image\": \"a.jpg\", \"prompt\": \"…\", \"answer\": \"…\"}, …]; what has no answer the model answers.",
      valueName: "file"))
  var probes: String?

  @Option(name: .shortAndLong, help: ArgumentHelp("The statistics to write.", valueName: "stats"))
  var output: String

  @OptionGroup var outputs: OutputOptions
  @OptionGroup var options: CheckpointOptions
  @OptionGroup var global: GlobalOptions

  func run() throws {
    let source = try ModelSource.open(path: checkpoint, reading: options.reading())
    try Reference.refuseCalibration(on: source.loss, of: checkpoint)
    let file = try outputs.file(output, .statistics)
    var bar = ProgressBar(quiet: global.quiet)
    let pool = try global.pool()
    let configuration = try source.parameters(pool: pool).configuration()
    if let note = CalibrationFormat(configuration).note { try global.note("note: \(note)") }
    let calibration = try Calibration.from(probes: probes, for: configuration)
    let statistics = try calibration.gather(source, pool: pool) {
      bar.show($0, "watching the matrices")
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
          + "\(Format.bytes(bytes.count))")
    }
  }
}

extension Calibration {
  /// The user's questions, or what is bundled: photographs for models that see, too.
  ///
  /// - Throws: What reading the questions throws.
  static func from(probes path: String?, for model: ModelConfiguration?) throws -> Calibration {
    guard let path else { return .bundled(withPhotographs: model?.vision != nil) }
    let samples = try Probe.read(path: path).map {
      Sample(picture: $0.imageBytes, question: $0.prompt, answer: $0.answer)
    }
    return Calibration(samples: samples, name: "\(samples.count) questions of \(fileName(of: path))")
  }
}
