import GristCheckpoints
import GristCore

extension Checkpoint {
  /// The checkpoint under canonical names: a family that knows its configuration says what it should hold, and the name
  /// map under which most of that is found is applied and said in a note. A checkpoint that no family knows, or whose
  /// names are canonical already, stays as it is.
  ///
  /// - Parameters:
  ///   - choices: what whoever reads the checkpoint says about its configuration.
  ///   - map: a map to use, whatever fits.
  ///   - families: those that may know it.
  ///
  /// - Throws: What the family throws for the configuration, and 65 when tensors do not come out as the map says.
  public func canonical(
    choices: ConfigurationChoices = ConfigurationChoices(), map: NameMap? = nil,
    families: [any ModelFamily] = ModelFamilies.builtIn
  ) throws -> Checkpoint {
    if let map { return try applying(map, why: "as asked") }
    let found = try ModelInventory(path: path, choices: choices, families: families) { sideFile(named: $0) }
    guard let inventory = found else { return self }
    let required = inventory.tensors.filter(\.isRequired).map { ByteName($0.name) }
    let names = Set(tensors.map { ByteName($0.name) })
    var best = (found: required.count { names.contains($0) }, map: NameMap?.none)
    for map in inventory.maps + BundledMaps.common where best.found < required.count {
      let canonical = Set(
        tensors.flatMap { tensor -> [ByteName] in
          guard case .becomes(let outcomes) = map.decide(tensor.name) else { return [] }
          return outcomes.map { ByteName($0.name) }
        })
      let found = required.count { canonical.contains($0) }
      if found > best.found { best = (found, map) }
    }
    guard let map = best.map else { return self }
    return try applying(map, why: "\(best.found) of \(required.count) tensors are found under it")
  }

  private func applying(_ map: NameMap, why: String) throws -> Checkpoint {
    let canonical = try CanonicalTensors(tensors, map: map)
    return with(
      tensors: canonical.tensors,
      notes: ["names are read by the map \(map.name) (\(map.about)): \(why)"] + canonical.notes)
  }
}
