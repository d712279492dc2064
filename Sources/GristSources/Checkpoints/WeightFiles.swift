import GristCore

/// The files that hold a checkpoint's weights, whatever their format, and the tensors in them.
package struct WeightFiles {
  let files: [Checkpoint.WeightFile]
  let tensors: [SourceTensor]
  let notes: [String]
  /// Names in the folder that are accounted for.
  let names: [String]

  /// A `config.json` that came with the weights, for a checkpoint that has none of its own.
  private(set) var configuration: Bytes?

  package static let indexName = "model.safetensors.index.json"
  package static let torchIndexName = "pytorch_model.bin.index.json"

  /// Opens what counts among a folder's files: what transformers takes, in its order (`model.safetensors`, its index,
  /// `pytorch_model.bin`, its index), then Keras's.
  ///
  /// - Parameter hdf5Helper: the program that reads HDF5; nil for the one beside the running program.
  ///
  /// - Throws: 66 when the folder holds no weights or lacks some, 65 for damaged ones.
  init(folder path: String, hdf5Helper: String?) throws {
    let folder = WeightFolder(names: try folderContents(path))
    switch try folder.choice(at: path) {
    case .safetensors(let name):
      self.init([try SafetensorsFile(path: joinPath(path, name)).opened], besides: folder, taken: name)
    case .torch(let name):
      self.init([try TorchFile(path: joinPath(path, name)).opened], besides: folder, taken: name)
    case .safetensorsIndex(let name):
      self.init(
        try ShardedWeights(listedBy: name, folder: path) { try SafetensorsFile(path: $0).opened }, index: name)
    case .torchIndex(let name):
      self.init(try ShardedWeights(listedBy: name, folder: path) { try TorchFile(path: $0).opened }, index: name)
    case .hdf5: self.init(try HDF5Folder(path: path, helper: hdf5Helper))
    case .keras(let name): try self.init(archive: joinPath(path, name), hdf5Helper: hdf5Helper)
    }
  }

  /// Opens one file of weights.
  ///
  /// - Throws: 65 for a damaged file, and for one whose name ends like none that holds weights.
  init(file path: String, hdf5Helper: String?) throws {
    switch WeightFolder.format(of: fileName(of: path)) {
    case .safetensors: self.init([try SafetensorsFile(path: path).opened])
    case .torch: self.init([try TorchFile(path: path).opened])
    case .hdf5:
      let file = try HDF5File(path: path, helper: hdf5Helper)
      let (tensors, notes) = file.tensors.withoutOptimizer()
      self.init([
        OpenedWeights(
          file: Checkpoint.WeightFile(file), tensors: tensors,
          notes: ["\(fileName(of: path)) is read by \(file.confinement)"] + notes)
      ])
    case .keras: try self.init(archive: path, hdf5Helper: hdf5Helper)
    case nil: throw GristError(.badData, "not a file of weights by its name", file: path)
    }
  }

  /// The weights in Keras's archive.
  private init(archive path: String, hdf5Helper: String?) throws {
    let archive = try KerasArchive(path: path, helper: hdf5Helper)
    files = [
      Checkpoint.WeightFile(
        name: fileName(of: path), path: path, byteCount: archive.byteCount, header: nil,
        identity: archive.identity)
    ]
    let (tensors, notes) = archive.weights.tensors.withoutOptimizer()
    self.tensors = tensors
    self.notes = archive.notes + notes
    names = files.map(\.name)
    configuration = archive.configuration
  }

  private init(_ opened: [OpenedWeights], besides folder: WeightFolder? = nil, taken name: String = "") {
    files = opened.map(\.file)
    tensors = opened.flatMap(\.tensors)
    let passedOver = folder?.passedOver(for: name) ?? (names: [], notes: [])
    notes = opened.flatMap(\.notes) + passedOver.notes
    names = files.map(\.name) + passedOver.names
  }

  private init(_ sharded: ShardedWeights, index: String) {
    files = sharded.files
    tensors = sharded.tensors
    notes = sharded.notes
    names = files.map(\.name) + [index]
  }

  private init(_ folder: HDF5Folder) {
    files = folder.files.map { Checkpoint.WeightFile($0) }
    let (tensors, notes) = folder.tensors.withoutOptimizer()
    self.tensors = tensors
    self.notes = folder.notes + notes
    names = files.map(\.name) + folder.indexNames
  }
}

extension Checkpoint.WeightFile {
  fileprivate init(_ file: HDF5File) {
    self.init(
      name: fileName(of: file.path), path: file.path, byteCount: file.byteCount, header: nil, identity: file.identity)
  }
}

extension SafetensorsFile {
  fileprivate var opened: OpenedWeights {
    OpenedWeights(
      file: Checkpoint.WeightFile(
        name: fileName(of: path), path: path, byteCount: byteCount, header: header, identity: identity),
      tensors: tensors)
  }
}

extension TorchFile {
  fileprivate var opened: OpenedWeights {
    OpenedWeights(
      file: Checkpoint.WeightFile(
        name: fileName(of: path), path: path, byteCount: byteCount, header: nil, identity: identity),
      tensors: tensors, notes: notes)
  }
}
