import GristKernels
import GristSources

extension Source {
  /// Its weights, to be computed with: a checkpoint's at full precision, which is the reference.
  public func parameters(pool: ThreadPool) -> any ParameterStore { parameters(pool: pool, residency: nil) }

  /// Its weights, read by `residency` where there is one.
  package func parameters(pool: ThreadPool, residency: Residency?) -> any ParameterStore {
    switch storage {
    case .grist(let file): GristParameters(file, of: self, pool: pool, residency: residency)
    case .checkpoint(let checkpoint): CheckpointParameters(checkpoint, of: self, residency: residency)
    }
  }

  /// - Throws: 66 when the tokenizer or a configuration is missing, 65 when a configuration or a tensor does not fit.
  public func model(compute: Compute) throws -> VisionLanguageModel {
    try VisionLanguageModel(parameters(pool: compute.pool), compute: compute)
  }
}
