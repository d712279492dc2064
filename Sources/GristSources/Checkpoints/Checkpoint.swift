import GristCore

/// An upstream checkpoint folder: its tensors, and the small files that belong to them.
public struct Checkpoint: Sendable {
  public let path: String
  /// Sorted by name.
  public let tensors: [SourceTensor]
  /// The files the weights came from, in name order.
  public let weightFiles: [WeightFile]
  /// Small files by the name they have in the folder; those of a part with files of its own under a folder.
  public let sideFiles: [SideFile]
  /// What was met and might surprise: said to the user, never silently passed over.
  public let notes: [String]
  private let tensorsByName: [ByteName: SourceTensor]

  public struct WeightFile: Sendable {
    /// As it is named in the folder; of a part that came separately, under a folder.
    public let name: String
    public let path: String
    public let byteCount: Int
    /// Everything before the data, verbatim, so that an export can restore the file; nil for a format that mixes the
    /// two.
    public let header: Bytes?
    /// Which file it was when it was opened, and in which state.
    let identity: FileIdentity?

    /// The same file, said to be in a folder.
    public func inFolder(_ folder: String) -> WeightFile {
      WeightFile(name: folder + name, path: path, byteCount: byteCount, header: header, identity: identity)
    }

    /// - Throws: 74 when the file was changed or replaced since it was opened.
    public func requireUnchanged() throws {
      guard identity == nil || FileIdentity(at: path) == identity else { throw GristError.changed(file: path) }
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

  private static let sideFileNames = [
    "config.json", "generation_config.json", "tokenizer.model", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "preprocessor_config.json", "processor_config.json",
    "chat_template.json", "chat_template.jinja", WeightFiles.indexName, WeightFiles.torchIndexName,
  ]
  public static let sideFileLimit = 64 << 20
  /// Configurations are small; one of 4 MiB is none.
  static let configurationLimit = 4 << 20

  /// Whether there is a checkpoint at `path`: a folder, or a file of weights by its name.
  public static func isThere(at path: String) -> Bool {
    switch fileKind(at: path) {
    case .folder: true
    case .file: WeightFolder.format(of: fileName(of: path)) != nil
    default: false
    }
  }

  /// Opens a checkpoint: a folder with its weights, in safetensors, torch's or Keras's files, whole or in shards; or
  /// one such file, whose folder has the small files then.
  ///
  /// - Parameters:
  ///   - path: the folder or file.
  ///   - hdf5Helper: the program that reads HDF5, `gristmill-hdf5`; nil for the one beside the running program.
  ///
  /// - Throws: 66 for a missing folder, weight file or shard; 65 for a damaged one.
  public init(path: String, hdf5Helper: String? = nil) throws {
    guard Self.isThere(at: path) else {
      throw GristError(
        .missingInput, fileKind(at: path) == nil ? "no such folder" : "not a checkpoint folder", file: path,
        advice: "name the folder that holds config.json and the weights")
    }
    let isFolder = fileKind(at: path) == .folder
    let place = isFolder ? path : GristCore.folderName(of: path)
    self.path = place
    let contents = isFolder ? try folderContents(path) : Self.sideFileNames
    try Self.requireLinks(among: contents, in: place)
    let folder =
      isFolder
      ? try WeightFiles(folder: path, hdf5Helper: hdf5Helper)
      : try WeightFiles(file: path, hdf5Helper: hdf5Helper)
    var notes = folder.notes
    var sideFiles: [SideFile] = []
    for name in Self.sideFileNames where fileKind(at: joinPath(place, name)) == .file {
      // The index that lies beside one file is not about it alone.
      if !isFolder, [WeightFiles.indexName, WeightFiles.torchIndexName].contains(name) { continue }
      let limit = name.hasSuffix("config.json") ? Self.configurationLimit : Self.sideFileLimit
      sideFiles.append(SideFile(name: name, bytes: try readFile(joinPath(place, name), limit: limit)))
    }
    if let configuration = folder.configuration, !sideFiles.contains(where: { $0.name == "config.json" }) {
      sideFiles.append(SideFile(name: "config.json", bytes: configuration))
    }
    let used = Set(sideFiles.map(\.name) + folder.names)
    for name in isFolder ? contents : [] where !used.contains(name) && fileKind(at: joinPath(path, name)) == .file {
      let reason = WeightFolder.reason(toLeaveOut: name) ?? "no part of the model"
      notes.append("\(name) is \(reason) and is left out")
    }
    self.sideFiles = sideFiles
    self.notes = notes
    tensors = folder.tensors.sorted { ByteName($0.name) < ByteName($1.name) }
    weightFiles = folder.files
    tensorsByName = Dictionary(tensors.map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// A link to nothing is a file that was meant to be there.
  ///
  /// - Throws: 66 for one that is named like a part of the model.
  private static func requireLinks(among names: [String], in folder: String) throws {
    for name in names where sideFileNames.contains(name) || WeightFolder.format(of: name) != nil {
      let path = joinPath(folder, name)
      guard let target = linkTarget(of: path), fileKind(at: path) == nil else { continue }
      throw GristError(
        .missingInput, "a link that leads nowhere", file: path, found: target,
        advice: "fetch the file that it stands for, or remove the link")
    }
  }

  /// The same checkpoint with other tensors, which may be its own under other names or in other layouts, and with more
  /// to say.
  public func with(
    tensors: [SourceTensor], weightFiles more: [WeightFile] = [], notes others: [String]
  ) -> Checkpoint {
    Checkpoint(
      path: path, tensors: tensors, weightFiles: weightFiles + more, sideFiles: sideFiles, notes: notes + others)
  }

  /// The same checkpoint with more small files.
  public func with(sideFiles more: [SideFile]) -> Checkpoint {
    Checkpoint(path: path, tensors: tensors, weightFiles: weightFiles, sideFiles: sideFiles + more, notes: notes)
  }

  private init(
    path: String, tensors: [SourceTensor], weightFiles: [WeightFile], sideFiles: [SideFile], notes: [String]
  ) {
    self.path = path
    self.tensors = tensors.sorted { ByteName($0.name) < ByteName($1.name) }
    self.weightFiles = weightFiles
    self.sideFiles = sideFiles
    self.notes = notes
    tensorsByName = Dictionary(tensors.map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
  }

  public func tensor(named name: String) -> SourceTensor? { tensorsByName[ByteName(name)] }

  public func sideFile(named name: String) -> Bytes? { sideFiles.first { $0.name == name }?.bytes }
}
