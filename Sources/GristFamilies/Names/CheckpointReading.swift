import GristCheckpoints

/// How a checkpoint folder is to be read, where that does not go without saying.
public struct CheckpointReading: Sendable {
  /// A CLIP checkpoint whose configuration replaces the one beside the checkpoint, and whose weights are used where the
  /// checkpoint has none.
  public var visionTower: String?
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
    let checkpoint = try Checkpoint(path: path, hdf5Helper: hdf5Helper)
      .withTowerFiles(from: visionTower).canonical(choices: choices, map: map)
    return try visionTower.map { try checkpoint.withTowerWeights(from: $0, hdf5Helper: hdf5Helper) } ?? checkpoint
  }
}
