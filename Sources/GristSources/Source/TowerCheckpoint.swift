import GristCore

/// A vision tower that has a folder of its own: inside of the checkpoint, or passed beside it.
extension SideFiles {
  /// Where the vision tower's own files are kept among a model's side files.
  package static let towerFolder = "vision_tower/"
  static let towerConfigurationName = towerFolder + configurationName
  /// The tower's own files, by their names in its folder.
  static let towerFileNames = [configurationName, "preprocessor_config.json", "processor_config.json"]
}

extension Checkpoint {
  /// The checkpoint with the small files of its vision tower, where those lie in a folder.
  ///
  /// - Parameter folder: the tower's; nil for the one inside of the checkpoint that `mm_vision_tower` names, if it is
  ///   one.
  ///
  /// - Throws: 66 when a folder that was passed has no `config.json`.
  func withTowerFiles(from folder: String?) throws -> Checkpoint {
    guard let place = try folder ?? namedTowerFolder() else { return self }
    let files = try SideFiles.towerFileNames.compactMap { name -> SideFile? in
      guard fileKind(at: joinPath(place, name)) == .file else { return nil }
      return SideFile(
        name: SideFiles.towerFolder + name, bytes: try readFile(joinPath(place, name), limit: Self.sideFileLimit))
    }
    guard folder == nil || files.contains(where: { $0.name == SideFiles.towerConfigurationName }) else {
      throw GristError(.missingInput, "the vision tower's folder has no config.json", file: place)
    }
    return with(sideFiles: files)
  }

  /// A checkpoint under canonical names with the weights of the tower in `folder`, where it has none of its own.
  ///
  /// - Throws: What reading the tower's checkpoint throws, and 65 when that holds no tower.
  func withTowerWeights(from folder: String, _ options: SourceOptions) throws -> Checkpoint {
    guard !tensors.contains(where: { TowerTensors.contains($0.name) }) else {
      return with(
        tensors: tensors,
        notes: ["the checkpoint has its own vision tower weights; only the configuration of \(folder) is used"])
    }
    let source = try Checkpoint(path: folder, hdf5Helper: options.hdf5Helper)
    let ownOptions = SourceOptions(families: options.families)
    var tower = try source.canonical(Recognition(source, options: ownOptions).inventory, ownOptions)
    // A configuration may say nothing of what it is of; names are transformers' then.
    if !tower.tensors.contains(where: { TowerTensors.contains($0.name) }) {
      tower = try source.canonical(nil, SourceOptions(map: BundledMaps.huggingFaceCLIP))
    }
    let visual = tower.tensors.filter { TowerTensors.contains($0.name) }
    guard !visual.isEmpty else {
      throw GristError(
        .badData, "the folder holds no CLIP vision tower", file: folder, found: source.tensors.first?.name,
        advice: "pass a CLIP checkpoint as transformers or KerasHub saves it")
    }
    // What it is not computed with may be called as something of the model's.
    let unused = tower.tensors.filter { $0.origin.unused != nil }.map { $0.renamed(SideFiles.towerFolder + $0.name) }
    return with(
      tensors: tensors + visual + unused,
      // The two folders may name their files alike.
      weightFiles: source.weightFiles.map { $0.inFolder(SideFiles.towerFolder) },
      notes: ["the vision tower's \(visual.count) tensors come from \(folder)"])
  }

  private func namedTowerFolder() throws -> String? {
    let files = SideFiles(path: path, options: ConfigurationOptions()) { sideFile(named: $0) }
    guard let json = try files.json(SideFiles.configurationName),
      let name = json.value("mm_vision_tower")?.string ?? json.value("vision_tower")?.string, !name.isEmpty,
      name.utf8.first != UInt8(ascii: "/"), !name.split(atBytesOf: "/").contains("..")
    else { return nil }
    let folder = joinPath(path, name)
    return fileKind(at: joinPath(folder, SideFiles.configurationName)) == .file ? folder : nil
  }
}
