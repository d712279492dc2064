import GristCheckpoints
import GristCore
import GristFormat
import GristKernels

/// A model as a user names it: a `.grist` file, or a checkpoint folder that is run at full precision.
public enum ModelSource: Sendable {
  case grist(GristFile)
  case checkpoint(Checkpoint)

  /// Throws 66 when nothing is there, and whatever the reader of what is there throws.
  public static func open(path: String, visionTower: String? = nil) throws -> ModelSource {
    switch fileKind(at: path) {
    case .folder: return .checkpoint(try Checkpoint(path: path, visionTower: visionTower))
    case .file, .other: return .grist(try GristFile(path: path))
    case nil:
      throw GristError(.missingInput, "no such model: neither a .grist file nor a checkpoint folder", file: path)
    }
  }

  public var path: String {
    switch self {
    case .grist(let file): file.path
    case .checkpoint(let checkpoint): checkpoint.path
    }
  }

  public func parameters(pool: ThreadPool) -> any ParameterStore {
    switch self {
    case .grist(let file): GristParameters(file, pool: pool)
    case .checkpoint(let checkpoint): CheckpointParameters(checkpoint)
    }
  }

  public func model(compute: Compute) throws -> VisionLanguageModel {
    try VisionLanguageModel(parameters(pool: compute.pool), compute: compute)
  }

  /// The fingerprint of the weights this model was made from; of a folder it is computed, which reads all of it.
  public func fingerprint() throws -> String {
    switch self {
    case .grist(let file): file.manifest.provenance.fingerprint
    case .checkpoint(let checkpoint): try checkpoint.fingerprint()
    }
  }
}
