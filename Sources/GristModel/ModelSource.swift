import GristCore
import GristFormat
import GristKernels
import GristSources

extension ConfigurationChoices {
  /// Those that a converted file keeps.
  public init(_ provenance: Provenance) {
    self.init(ignoredKeys: Set(provenance.ignoredKeys), template: provenance.promptTemplate)
  }
}

/// A model as a user names it: a `.grist` file, or a checkpoint folder that is run at full precision.
public enum ModelSource: Sendable {
  /// With what is said about its configuration, beside what the file keeps of that.
  case grist(GristFile, choices: ConfigurationChoices = ConfigurationChoices())
  /// With what is said about its configuration.
  case checkpoint(Checkpoint, choices: ConfigurationChoices = ConfigurationChoices())

  /// Opens what is at a path.
  ///
  /// - Parameters:
  ///   - path: a checkpoint folder, an archive or a `.grist` file.
  ///   - reading: how a checkpoint folder is read; of a `.grist` file only its configuration.
  ///
  /// - Throws: 66 when nothing is there, and whatever the reader of what is there throws.
  public static func open(path: String, reading: CheckpointReading = CheckpointReading()) throws -> ModelSource {
    switch fileKind(at: path) {
    case _ where Checkpoint.isThere(at: path):
      return .checkpoint(try reading.checkpoint(at: path), choices: reading.choices)
    case .folder, .file, .other: return .grist(try GristFile(path: path), choices: reading.choices)
    case nil:
      throw GristError(.missingInput, "no such model: neither a .grist file nor a checkpoint folder", file: path)
    }
  }

  public var path: String {
    switch self {
    case .grist(let file, _): file.path
    case .checkpoint(let checkpoint, _): checkpoint.path
    }
  }

  public func parameters(pool: ThreadPool) -> any ParameterStore {
    switch self {
    case .grist(let file, let choices): GristParameters(file, pool: pool, choices: choices)
    case .checkpoint(let checkpoint, let choices): CheckpointParameters(checkpoint, choices: choices)
    }
  }

  /// - Throws: 66 when the tokenizer or a configuration is missing, 65 when a configuration or a tensor does not fit.
  public func model(compute: Compute) throws -> VisionLanguageModel {
    try VisionLanguageModel(parameters(pool: compute.pool), compute: compute)
  }

  /// What the weights have lost since upstream, as a reader of a report would want it said; nil when they are upstream's,
  /// value for value.
  public var loss: String? {
    guard case .grist(let file, _) = self, file.manifest.provenance.isLossy else { return nil }
    let recipes = file.manifest.provenance.lineage.filter(\.isLossy).map(\.recipe)
    return recipes.isEmpty
      ? "its file does not tell what its weights went through"
      : "its weights went through " + recipes.joined(separator: ", ")
  }

  /// Whether the router's choices are upstream's whatever the question, because everything they depend on is stored value
  /// for value and computed at full precision; nil for a model without a router.
  ///
  /// - Throws: What reading the configuration throws.
  public func hasExactChoices() throws -> Bool? {
    guard case .grist(let file, _) = self else { return nil }
    let configuration = try ModelConfiguration(
      path: file.path, choices: ConfigurationChoices(file.manifest.provenance),
      storesHead: file.tensor(named: ModelConfiguration.headName) != nil
    ) { try file.sideFile(named: $0) }
    guard configuration.vision?.usesRouter == true else { return nil }
    return configuration.expectedTensors.allSatisfy { expected in
      guard expected.part.decidesChoices, let record = file.tensor(named: expected.name) else { return true }
      guard case .plain = record.scheme else { return false }
      return record.relativeError == 0
    }
  }

  /// The fingerprint of the weights this model was made from; of a folder it is computed, which reads all of it.
  ///
  /// - Throws: What reading the weights throws, 130 when the user interrupts.
  public func fingerprint() throws -> String {
    switch self {
    case .grist(let file, _): file.manifest.provenance.fingerprint
    case .checkpoint(let checkpoint, _): try checkpoint.fingerprint()
    }
  }
}
