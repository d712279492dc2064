import GristCheckpoints
import GristCore
import GristFamilies
import GristFormat
import GristKernels

/// A model as a user names it: a `.grist` file, or a checkpoint folder that is run at full precision.
public enum ModelSource: Sendable {
  case grist(GristFile)
  /// With the configuration keys that are passed over on purpose.
  case checkpoint(Checkpoint, ignoredKeys: Set<String> = [])

  /// - Parameter reading: how a checkpoint folder is read; a `.grist` file needs no advice.
  ///
  /// Throws 66 when nothing is there, and whatever the reader of what is there throws.
  public static func open(path: String, reading: CheckpointReading = CheckpointReading()) throws -> ModelSource {
    switch fileKind(at: path) {
    case .folder:
      return .checkpoint(try reading.checkpoint(at: path), ignoredKeys: reading.ignoredKeys)
    case .file, .other: return .grist(try GristFile(path: path))
    case nil:
      throw GristError(.missingInput, "no such model: neither a .grist file nor a checkpoint folder", file: path)
    }
  }

  public var path: String {
    switch self {
    case .grist(let file): file.path
    case .checkpoint(let checkpoint, _): checkpoint.path
    }
  }

  public func parameters(pool: ThreadPool) -> any ParameterStore {
    switch self {
    case .grist(let file): GristParameters(file, pool: pool)
    case .checkpoint(let checkpoint, let ignored): CheckpointParameters(checkpoint, ignoredKeys: ignored)
    }
  }

  public func model(compute: Compute) throws -> VisionLanguageModel {
    try VisionLanguageModel(parameters(pool: compute.pool), compute: compute)
  }

  /// What the weights have lost since upstream, as a reader of a report would want it said; nil when they are upstream's,
  /// value for value.
  public var loss: String? {
    guard case .grist(let file) = self, file.manifest.provenance.isLossy else { return nil }
    let recipes = file.manifest.provenance.lineage.filter(\.isLossy).map(\.recipe)
    return recipes.isEmpty
      ? "its file does not tell what its weights went through"
      : "its weights went through " + recipes.joined(separator: ", ")
  }

  /// Whether the router's choices are upstream's whatever the question, because everything they depend on is stored value
  /// for value and computed at full precision; nil for a model without a router.
  ///
  /// Throws what reading the configuration throws.
  public func hasExactChoices() throws -> Bool? {
    guard case .grist(let file) = self else { return nil }
    let configuration = try ModelConfiguration(
      path: file.path, ignoring: Set(file.manifest.provenance.ignoredKeys)
    ) { try file.sideFile(named: $0) }
    guard configuration.vision?.usesRouter == true else { return nil }
    return configuration.expectedTensors.allSatisfy { expected in
      guard expected.part.decidesChoices, let record = file.tensor(named: expected.name) else { return true }
      guard case .plain = record.scheme else { return false }
      return record.relativeError == 0
    }
  }

  /// The fingerprint of the weights this model was made from; of a folder it is computed, which reads all of it.
  public func fingerprint() throws -> String {
    switch self {
    case .grist(let file): file.manifest.provenance.fingerprint
    case .checkpoint(let checkpoint, _): try checkpoint.fingerprint()
    }
  }
}
