import Crypto
import GristCore

/// An upstream checkpoint folder: its tensors, and the small files that belong to them.
public struct Checkpoint: Sendable {
  public let path: String
  /// Sorted by name.
  public let tensors: [SourceTensor]
  /// The files the weights came from, in name order.
  public let weightFiles: [WeightFile]
  /// Small files by the name they have in the folder; those of the vision tower are under `vision_tower/`.
  public let sideFiles: [SideFile]
  /// What was met and might surprise: said to the user, never silently passed over.
  public let notes: [String]
  private let tensorsByName: [ByteName: SourceTensor]

  public struct WeightFile: Sendable {
    /// As it is named in the folder; of a vision tower that came separately, under `vision_tower/`.
    public let name: String
    public let path: String
    public let byteCount: Int
    /// Everything before the data, verbatim, so that an export can restore the file; nil for a format that mixes the two.
    public let header: Bytes?

    /// The same file, said to be in a folder.
    func inFolder(_ folder: String) -> WeightFile {
      WeightFile(name: folder + name, path: path, byteCount: byteCount, header: header)
    }
  }

  public struct SideFile: Sendable {
    public let name: String
    public let bytes: Bytes

    public init(name: String, bytes: Bytes) {
      self.name = name
      self.bytes = bytes
    }
  }

  /// Where the vision tower's own files are kept among the side files.
  public static let visionConfigurationName = visionFolder + "config.json"
  public static let visionPreprocessorName = visionFolder + "preprocessor_config.json"
  private static let visionFolder = "vision_tower/"
  /// What upstream's checkpoints put before the names of a CLIP checkpoint's tensors.
  static let visionPrefix = "model.vision_tower.vision_tower."

  private static let sideFileNames = [
    "config.json", "generation_config.json", "tokenizer.model", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "preprocessor_config.json", "processor_config.json",
    "chat_template.json", "chat_template.jinja", SafetensorsFolder.indexName,
  ]
  private static let sideFileLimit = 64 << 20

  /// Whether there is a checkpoint at `path`: a folder, or Keras's archive.
  public static func isThere(at path: String) -> Bool {
    switch fileKind(at: path) {
    case .folder: true
    case .file: path.hasSuffix(KerasArchive.ending)
    default: false
    }
  }

  /// Opens a checkpoint: a folder, its weights in safetensors or HDF5, whole or in shards; or an archive of Keras's, alone or
  /// in a folder.
  ///
  /// - Parameter visionTower: a CLIP checkpoint folder whose configuration replaces the one beside the checkpoint, and
  ///   whose weights are used where the checkpoint has none.
  /// - Parameter hdf5Helper: the program that reads HDF5, `gristmill-hdf5`; nil for the one beside the running program.
  ///
  /// Throws 66 for a missing folder, weight file or shard; 65 for a damaged one.
  public init(path: String, visionTower: String? = nil, hdf5Helper: String? = nil) throws {
    guard Self.isThere(at: path) else {
      throw GristError(
        .missingInput, fileKind(at: path) == nil ? "no such folder" : "not a checkpoint folder", file: path,
        advice: "name the folder that holds config.json and the weights")
    }
    self.path = path
    let isFolder = fileKind(at: path) == .folder
    let folder =
      isFolder
      ? try WeightFiles(folder: path, hdf5Helper: hdf5Helper)
      : try WeightFiles(archive: path, hdf5Helper: hdf5Helper)
    var tensors = folder.tensors
    var files = folder.files
    var notes = folder.notes
    var sideFiles: [SideFile] = []
    for name in Self.sideFileNames where fileKind(at: joinPath(path, name)) == .file {
      sideFiles.append(SideFile(name: name, bytes: try readFile(joinPath(path, name), limit: Self.sideFileLimit)))
    }
    if let configuration = folder.configuration, !sideFiles.contains(where: { $0.name == "config.json" }) {
      sideFiles.append(SideFile(name: "config.json", bytes: configuration))
    }
    let towerFolder = try visionTower ?? Self.namedTowerFolder(sideFiles, checkpoint: path)
    if let towerFolder {
      for (name, key) in [
        ("config.json", Self.visionConfigurationName), ("preprocessor_config.json", Self.visionPreprocessorName),
      ] where fileKind(at: joinPath(towerFolder, name)) == .file {
        sideFiles.append(
          SideFile(name: key, bytes: try readFile(joinPath(towerFolder, name), limit: Self.sideFileLimit)))
      }
    }
    if let visionTower {
      guard sideFiles.contains(where: { $0.name == Self.visionConfigurationName }) else {
        throw GristError(.missingInput, "the vision tower's folder has no config.json", file: visionTower)
      }
      let known = Set(tensors.map(\.name))
      if !known.contains(where: { $0.hasPrefix(Self.visionPrefix) }) {
        let tower = try WeightFiles(folder: visionTower, hdf5Helper: hdf5Helper)
        let visual = tower.tensors.filter { $0.name.hasPrefix("vision_model.") }
        guard !visual.isEmpty else {
          throw GristError(
            .badData, "the vision tower's folder holds no tensors that begin with vision_model.", file: visionTower,
            found: tower.tensors.first?.name, advice: "pass the folder of a CLIP checkpoint as transformers saves it")
        }
        tensors += visual.map { $0.renamed(Self.visionPrefix + $0.name) }
        // The two folders may name their files alike.
        files += tower.files.map { $0.inFolder(Self.visionFolder) }
        notes.append("the vision tower's \(visual.count) tensors come from \(visionTower)")
      } else {
        notes.append(
          "the checkpoint has its own vision tower weights; only the configuration of \(visionTower) is used")
      }
    }
    let used = Set(sideFiles.map(\.name) + folder.names)
    for name in try isFolder ? folderContents(path) : []
    where !used.contains(name) && fileKind(at: joinPath(path, name)) == .file {
      notes.append("\(name) is no part of the model and is left out")
    }
    self.sideFiles = sideFiles
    self.notes = notes
    self.tensors = tensors.sorted { ByteName($0.name) < ByteName($1.name) }
    weightFiles = files
    tensorsByName = Dictionary(tensors.map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The same checkpoint with other names or layouts for its tensors, and more to say.
  public func with(tensors: [SourceTensor], notes more: [String]) -> Checkpoint {
    Checkpoint(self, tensors: tensors, notes: notes + more)
  }

  private init(_ other: Checkpoint, tensors: [SourceTensor], notes: [String]) {
    path = other.path
    self.tensors = tensors.sorted { ByteName($0.name) < ByteName($1.name) }
    weightFiles = other.weightFiles
    sideFiles = other.sideFiles
    self.notes = notes
    tensorsByName = Dictionary(tensors.map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
  }

  public func tensor(named name: String) -> SourceTensor? { tensorsByName[ByteName(name)] }

  public func sideFile(named name: String) -> Bytes? { sideFiles.first { $0.name == name }?.bytes }

  /// The folder inside the checkpoint that `mm_vision_tower` names, if it is one.
  private static func namedTowerFolder(_ sideFiles: [SideFile], checkpoint: String) throws -> String? {
    guard let config = sideFiles.first(where: { $0.name == "config.json" }) else { return nil }
    let reader = try JSONReader(
      locating(file: joinPath(checkpoint, "config.json")) { try JSONValue.parse(config.bytes) },
      file: joinPath(checkpoint, "config.json"))
    guard let name = reader.value("mm_vision_tower")?.string ?? reader.value("vision_tower")?.string, !name.isEmpty,
      !name.hasPrefix("/"), !name.split(separator: "/").contains("..")
    else { return nil }
    let folder = joinPath(checkpoint, name)
    return fileKind(at: joinPath(folder, "config.json")) == .file ? folder : nil
  }

  /// The SHA-256 of some bytes, lower-case hexadecimal.
  public static func sha256(_ bytes: Bytes) -> String {
    var hash = SHA256()
    bytes.withUnsafeBytes { hash.update(bufferPointer: $0) }
    return hexadecimal(hash.finalize())
  }
}
