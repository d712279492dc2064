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
    try requireUnquantized(ignoring: choices.ignoredKeys)
    let inventory = try ModelInventory(path: path, choices: choices, families: families) { sideFile(named: $0) }
    let named = try map.map { try applying($0, why: "as asked") } ?? inventory.map(withoutPrefix().named) ?? self
    if let inventory { try named.requireUnquantized(inventory.tensors) }
    return try named.withTiedHead(inventory?.configuration)
  }

  /// What wrappers put before every name, and who they are.
  private static let prefixes = [
    ("module.", "DataParallel"), ("_orig_mod.", "torch.compile"), ("base_model.model.", "PEFT"),
  ]

  /// Without what a wrapper put before every name.
  ///
  /// - Throws: 65 for PEFT's when there are matrices of LoRA among the tensors, which are not the model's own.
  private func withoutPrefix() throws -> Checkpoint {
    var result = self
    for (prefix, wrapper) in Self.prefixes + Self.prefixes
    where !result.tensors.isEmpty && result.tensors.allSatisfy({ $0.name.hasPrefix(prefix) }) {
      if let matrix = result.tensors.first(where: { $0.name.contains(bytesOf: ".lora_A.") }) {
        throw GristError(
          .badData, "a LoRA adapter, not a model", file: matrix.file, tensor: matrix.sourceName,
          advice: "merge it first: PeftModel.from_pretrained(MODEL, ADAPTER).merge_and_unload().save_pretrained(FOLDER)"
        )
      }
      result = result.with(
        tensors: result.tensors.map { $0.renamed(String($0.name.dropFirst(prefix.count))) },
        notes: ["names are read without \(prefix), which \(wrapper) puts before them"])
    }
    return result
  }

  /// Under the map by which most of an inventory is found, if there is a better one than none.
  private func named(for inventory: ModelInventory) throws -> Checkpoint {
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
    guard let map = best.map else { return try withoutOmissions() }
    return try applying(map, why: "\(best.found) of \(required.count) tensors are found under it")
  }

  /// Under names that are canonical already: without what any map leaves out.
  private func withoutOmissions() throws -> Checkpoint {
    let omits = tensors.contains { if case .leftOut = BundledMaps.plain.decide($0.name) { true } else { false } }
    guard omits else { return self }
    let canonical = try CanonicalTensors(tensors, map: BundledMaps.plain)
    return with(tensors: canonical.tensors, notes: canonical.notes)
  }

  private func applying(_ map: NameMap, why: String) throws -> Checkpoint {
    let canonical = try CanonicalTensors(tensors, map: map)
    return with(
      tensors: canonical.tensors,
      notes: ["names are read by the map \(map.name) (\(map.about)): \(why)"] + canonical.notes)
  }
}
