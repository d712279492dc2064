import GristCore

extension Recognition {
  /// What a checkpoint's small files tell.
  ///
  /// - Throws: 65 for a checkpoint that is quantized already, and what reading the configuration throws.
  init(_ checkpoint: Checkpoint, options: SourceOptions) throws {
    try checkpoint.requireUnquantized(ignoring: options.configuration.ignoredKeys)
    try self.init(
      SideFiles(path: checkpoint.path, options: options.configuration) { checkpoint.sideFile(named: $0) },
      families: options.families)
  }
}

extension Checkpoint {
  /// The checkpoint at a path as it lies there, with the small files of its vision tower.
  ///
  /// - Throws: What `Checkpoint` throws, and 66 when the tower's folder has no `config.json`.
  init(path: String, options: SourceOptions) throws {
    let checkpoint = try Checkpoint(path: path, hdf5Helper: options.hdf5Helper).withTowerFiles(
      from: options.visionTower)
    if options.visionTower == nil, let kept = options.keptTower,
      checkpoint.sideFile(named: SideFiles.towerConfigurationName) == nil
    {
      self = checkpoint.with(sideFiles: kept.files)
    } else {
      self = checkpoint
    }
  }

  /// The checkpoint under canonical names: under the map that was named, or the one by which most of what a family
  /// expects is found, which is said in a note. A checkpoint that no family knows, or whose names are canonical
  /// already, stays as it is. A vision tower comes from elsewhere where it has none.
  ///
  /// - Throws: 65 when tensors do not come out as the map says, and what reading the tower throws.
  func canonical(_ inventory: ModelInventory?, _ options: SourceOptions) throws -> Checkpoint {
    var named =
      try options.map.map { try applying($0, why: "as asked") } ?? inventory.map(withoutPrefix().named) ?? self
    if let inventory { try named.requireUnquantized(inventory.tensors) }
    named = try named.withTiedHead(inventory?.configuration)
    if let tower = options.visionTower { return try named.withTowerWeights(from: tower, options) }
    guard let kept = options.keptTower, !kept.tensors.isEmpty,
      !named.tensors.contains(where: { TowerTensors.contains($0.name) })
    else { return named }
    return named.with(tensors: named.tensors + kept.tensors, notes: [kept.note])
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
    guard let map = best.map else { return try withUnusedMarked() }
    return try applying(map, why: "\(best.found) of \(required.count) tensors are found under it")
  }

  /// Under names that are canonical already: with what the model does not compute with marked.
  private func withUnusedMarked() throws -> Checkpoint {
    let marks = tensors.contains { if case .unused = BundledMaps.plain.decide($0.name) { true } else { false } }
    guard marks else { return self }
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
