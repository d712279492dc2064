import GristConversion
import GristFormat
import GristKernels
import GristSources

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
