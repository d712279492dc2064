import GristCore

/// How a checkpoint folder is to be read, where that does not go without saying.
public struct CheckpointReading: Sendable {
  /// A CLIP checkpoint whose configuration replaces the one beside the checkpoint, and whose weights are used where the
  /// checkpoint has none.
  public var visionTower: String?
  /// What an earlier conversion kept of the vision tower, used where neither the checkpoint nor ``visionTower`` has it.
  public var keptTower: KeptTower?
  /// What is said about its configuration.
  public var choices: ConfigurationChoices
  /// How tensor names are read; nil to find out.
  public var map: NameMap?
  /// The program that reads HDF5; nil for the one beside the running program.
  public var hdf5Helper: String?

  public init(
    visionTower: String? = nil, choices: ConfigurationChoices = ConfigurationChoices(), map: NameMap? = nil,
    hdf5Helper: String? = nil
  ) {
    self.visionTower = visionTower
    self.choices = choices
    self.map = map
    self.hdf5Helper = hdf5Helper
  }

  /// The checkpoint in a folder, under canonical names.
  ///
  /// - Throws: What `Checkpoint` and its `canonical` throw.
  public func checkpoint(at path: String) throws -> Checkpoint {
    var checkpoint = try Checkpoint(path: path, hdf5Helper: hdf5Helper).withTowerFiles(from: visionTower)
    let kept = visionTower == nil ? keptTower : nil
    if let kept, checkpoint.sideFile(named: SideFiles.towerConfigurationName) == nil {
      checkpoint = checkpoint.with(sideFiles: kept.files)
    }
    checkpoint = try checkpoint.canonical(choices: choices, map: map)
    if let visionTower { return try checkpoint.withTowerWeights(from: visionTower, hdf5Helper: hdf5Helper) }
    guard let kept, !kept.tensors.isEmpty,
      !checkpoint.tensors.contains(where: { ModelConfiguration.isTowerTensor($0.name) })
    else {
      return checkpoint
    }
    return checkpoint.with(tensors: checkpoint.tensors + kept.tensors, notes: [kept.note])
  }

  /// A vision tower as an earlier conversion kept it.
  public struct KeptTower: Sendable {
    /// Its small files, under their names in a model.
    let files: [Checkpoint.SideFile]
    /// Its weights, under canonical names; none where one of them is not value for value what was converted.
    let tensors: [SourceTensor]
    /// For people: where it comes from.
    let note: String

    /// - Parameters:
    ///   - file: what keeps it, for messages.
    ///   - find: gives the small files that it keeps, by name; those of a tower are asked for.
    ///   - tensors: what it keeps, value for value, if it does; a tower's are taken.
    ///
    /// - Throws: What `find` throws.
    public init(file: String, tensors: [SourceTensor], find: (String) throws -> Bytes?) throws {
      files = try SideFiles.towerFileNames.compactMap { name in
        let name = SideFiles.towerFolder + name
        return try find(name).map { Checkpoint.SideFile(name: name, bytes: $0) }
      }
      self.tensors = tensors.filter { ModelConfiguration.isTowerTensor($0.name) }
      note = "the vision tower's \(self.tensors.count) tensors are those that \(file) keeps"
    }
  }
}
