import GristCheckpoints

/// How a checkpoint folder is to be read, where that does not go without saying.
public struct CheckpointReading: Sendable {
  /// The folder of the CLIP tower that the checkpoint was trained with.
  public var visionTower: String?
  /// Configuration keys that would be refused, which the user knows to change nothing.
  public var ignoredKeys: Set<String>
  /// How tensor names are read; nil to find out.
  public var map: NameMap?
  /// The program that reads HDF5; nil for the one beside the running program.
  public var hdf5Helper: String?

  public init(
    visionTower: String? = nil, ignoredKeys: Set<String> = [], map: NameMap? = nil, hdf5Helper: String? = nil
  ) {
    self.visionTower = visionTower
    self.ignoredKeys = ignoredKeys
    self.map = map
    self.hdf5Helper = hdf5Helper
  }

  /// The checkpoint in a folder, under canonical names. Throws what ``Checkpoint`` and its `canonical` throw.
  public func checkpoint(at path: String) throws -> Checkpoint {
    try Checkpoint(path: path, visionTower: visionTower, hdf5Helper: hdf5Helper)
      .canonical(ignoring: ignoredKeys, map: map)
  }
}
