import GristConversion
import GristFormat
import GristKernels
import GristModel
import GristSources
import GristVerification

/// Converts a checkpoint or a file to `target`, and returns that.
func converted(
  _ path: String, _ name: Recipe.Name, to target: String, packing: Packing, pool: ThreadPool
) throws -> String {
  let source = try Source.open(path: path)
  let recipe = try Recipe(name)
  _ = try Converter(pool: pool, packing: packing).convert(
    source, plan: ConversionPlan(source, recipe: recipe), recipe: recipe, to: target)
  return target
}

extension Source {
  /// The model held to a record.
  func verify(
    against record: ReferenceRecord, limits: VerificationLimits = VerificationLimits(), compute: Compute
  ) throws -> VerificationReport {
    var options = Verification.Options()
    options.limits = limits
    return try Verification(self, against: .record(record), options: options, compute: compute).run()
  }
}
