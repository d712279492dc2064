import GristCore
import GristModel
import GristSources

/// How a conversion uses what flows into the matrices.
public enum CalibrationMode: String, Sendable, CaseIterable {
  /// Every code is rounded to nearest.
  case none
  /// Rounding errors are corrected inside blocks of columns.
  case block
  /// Rounding errors are corrected among all columns of the language model's matrices, layer after layer.
  case full
}

/// Statistics that `gristmill calibrate` wrote, and where they lie.
public struct StatisticsFile: Sendable {
  public let statistics: InputStatistics
  public let path: String

  /// - Throws: 66 for a missing file, 65 for one that is damaged or something else.
  public init(path: String) throws {
    self.path = path
    statistics = try InputStatistics(path: path)
    if let part = statistics.part {
      throw GristError(
        .badData, "the statistics are of a part of the samples alone", file: path, found: "part \(part.part)",
        advice: "join all parts with `gristmill merge`")
    }
  }
}

/// What a conversion does about rounding errors, decided before the model is run: what was asked for, or `block` where
/// nothing was and it can be had.
struct CalibrationPolicy {
  var mode = CalibrationMode.none
  /// What the model is to be run with; nil where statistics are there, or none are wanted.
  var samples: Calibration?
  var statistics: StatisticsFile?
  /// Names of the matrices whose inputs will be known.
  var matrices: Set<ByteName> = []
  /// What whoever did not ask for it should know.
  var notes: [String] = []

  /// What is known of the inputs, for people.
  var sampleNames: String? { statistics?.statistics.text ?? samples?.name }

  /// - Throws: 64 where calibration was asked for and could do nothing, 65 where the source has lost something itself,
  ///   and what the plan throws.
  init(_ conversion: Conversion) throws {
    let (source, options) = (conversion.source, conversion.options)
    if options.calibration == CalibrationMode.none { return }
    let isAsked = options.calibration != nil || options.samples != nil || options.statistics != nil
    // What cannot be is said before an hour of running a model.
    guard try conversion.tensors().hasCodeTables else {
      guard isAsked, options.targetBits == nil || options.calibration != nil else { return }
      throw GristError(
        .usage, "there is nothing to calibrate: no tensor becomes int4",
        advice: "leave --calibrate, --probes and --stats out, or choose a recipe or --set with int4")
    }
    if !isAsked, let obstacle = try Self.obstacle(to: source) {
      notes = ["not calibrated, 4-bit codes are rounded each for itself: \(obstacle)"]
      return
    }
    try source.requireNoLoss()
    mode = options.calibration ?? .block
    if let statistics = options.statistics {
      (self.statistics, matrices) = (statistics, statistics.statistics.matrices)
    } else {
      let samples = options.samples ?? .bundled(for: source.inventory?.configuration)
      (self.samples, matrices) = (samples, samples.matrices(of: source.inventory?.tensors ?? []))
    }
  }

  /// Why a model cannot be calibrated; nil where it can.
  private static func obstacle(to source: Source) throws -> String? {
    guard let configuration = source.inventory?.configuration else { return "the model cannot be run" }
    if let loss = source.loss { return "of the source, " + loss }
    do {
      _ = try source.tokenizer(configuration.tokenizers)
    } catch let error as GristError where error.code == .missingInput {
      return error.what
    }
    return nil
  }
}

extension Source {
  /// - Throws: 65 when the weights have lost something since upstream: what flows through such a model is not what
  ///   flows through upstream's.
  public func requireNoLoss() throws {
    guard let loss else { return }
    throw GristError(
      .badData, "a model that has lost something itself cannot be calibrated with: \(loss)", file: path,
      advice: "take the upstream checkpoint, or a file made from it with --recipe source")
  }
}

extension Calibration {
  /// What is bundled: photographs for models that see, too.
  public static func bundled(for model: ModelConfiguration?) -> Calibration {
    .bundled(withPhotographs: model?.vision != nil)
  }

  /// The user's questions.
  ///
  /// - Throws: 66 for a missing file or picture, 65 for a file of another form.
  public init(probes path: String) throws {
    let samples = try Question.read(path: path).map { Sample($0) }
    self.init(samples: samples, name: "\(samples.count) questions of \(fileName(of: path))")
  }
}
