import GristCore
import GristFormat

/// What may be said about a source where it does not speak for itself.
public struct SourceOptions: Sendable {
  /// A CLIP checkpoint whose configuration replaces the one beside the checkpoint, and whose weights are used where the
  /// checkpoint has none. Of a checkpoint only.
  public var visionTower: String?
  /// What is said about its configuration.
  public var configuration: ConfigurationOptions
  /// How a checkpoint's tensor names are read; nil to find out.
  public var map: NameMap?
  /// The families that are asked whether they know its configuration; the first that does reads it.
  public var families: [any ModelFamily]
  /// The program that reads HDF5; nil for the one beside the running program.
  public var hdf5Helper: String?
  /// What an earlier conversion kept of the vision tower, used where neither the checkpoint nor ``visionTower`` has it.
  var keptTower: KeptTower?

  public init(
    visionTower: String? = nil, configuration: ConfigurationOptions = ConfigurationOptions(), map: NameMap? = nil,
    families: [any ModelFamily] = ModelFamilies.builtIn, hdf5Helper: String? = nil
  ) {
    self.visionTower = visionTower
    self.configuration = configuration
    self.map = map
    self.families = families
    self.hdf5Helper = hdf5Helper
  }

  /// The same, and where nothing is said what a converted file keeps: ignored keys, a template, and a vision tower that
  /// is stored value for value. Where that is not the converted one, the weights' fingerprint tells.
  ///
  /// - Throws: What reading the file's small files throws.
  public func completed(by converted: Source) throws -> SourceOptions {
    guard case .grist(let file) = converted.storage else { return self }
    var options = self
    options.configuration = configuration.adding(to: ConfigurationOptions(file.manifest.provenance))
    guard visionTower == nil else { return options }
    options.keptTower = try KeptTower(file)
    return options
  }
}

/// A vision tower as an earlier conversion kept it.
struct KeptTower: Sendable {
  /// Its small files, under their names in a model.
  let files: [Checkpoint.SideFile]
  /// Its weights, under canonical names; none where one of them is not value for value what was converted.
  let tensors: [SourceTensor]
  /// For people: where it comes from.
  let note: String

  init(_ file: GristFile) throws {
    files = try SideFiles.towerFileNames.compactMap { name in
      let name = SideFiles.towerFolder + name
      return try file.sideFile(named: name).map { Checkpoint.SideFile(name: name, bytes: $0) }
    }
    let records = file.manifest.tensors.filter { TowerTensors.contains($0.name) }
    let isWhole = records.allSatisfy { $0.keepsValues && $0.scheme == .plain($0.origin.element) }
    tensors =
      isWhole ? try file.sourceTensors().filter { TowerTensors.contains($0.name) } : []
    note = "the vision tower's \(tensors.count) tensors are those that \(file.path) keeps"
  }
}

extension TensorRecord {
  /// Whether the tensor holds every value that upstream's held, in whatever type.
  public var keepsValues: Bool {
    guard case .plain = scheme else { return false }
    return relativeError == 0
  }
}
