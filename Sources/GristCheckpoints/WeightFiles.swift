import GristCore

/// The files that hold a folder's weights, whatever their format, and the tensors in them.
struct WeightFiles {
  let files: [Checkpoint.WeightFile]
  let tensors: [SourceTensor]
  let notes: [String]
  /// Names in the folder that are accounted for.
  let names: [String]

  /// A `config.json` that came with the weights, for a checkpoint that has none of its own.
  private(set) var configuration: Bytes?

  /// Looks for safetensors first, then for HDF5, then for Keras's archive.
  ///
  /// - Parameter hdf5Helper: the program that reads HDF5; nil for the one beside the running program.
  ///
  /// - Throws: 66 when the folder holds no weights or lacks some, 65 for damaged ones.
  init(folder path: String, hdf5Helper: String?) throws {
    let contents = try folderContents(path)
    let hasSafetensors = contents.contains { $0.hasSuffix(".safetensors") || $0 == SafetensorsFolder.indexName }
    if !hasSafetensors, HDF5Folder.holdsWeights(contents) {
      self.init(try HDF5Folder(path: path, helper: hdf5Helper))
    } else if !hasSafetensors, let archive = try KerasArchive.name(among: contents, folder: path) {
      try self.init(archive: joinPath(path, archive), hdf5Helper: hdf5Helper)
    } else {
      self.init(try SafetensorsFolder(path: path))
    }
  }

  /// The weights in Keras's archive.
  ///
  /// - Throws: What its reader throws.
  init(archive path: String, hdf5Helper: String?) throws {
    let archive = try KerasArchive(path: path, helper: hdf5Helper)
    files = [
      Checkpoint.WeightFile(
        name: fileName(of: path), path: path, byteCount: archive.byteCount, header: nil,
        identity: archive.identity)
    ]
    tensors = archive.weights.tensors
    notes = archive.notes
    names = files.map(\.name)
    configuration = archive.configuration
  }

  private init(_ folder: SafetensorsFolder) {
    files = folder.files.map {
      Checkpoint.WeightFile(
        name: fileName(of: $0.path), path: $0.path, byteCount: $0.byteCount, header: $0.header,
        identity: $0.identity)
    }
    tensors = folder.tensors
    notes = folder.notes
    names = files.map(\.name)
  }

  init(_ folder: HDF5Folder) {
    files = folder.files.map {
      Checkpoint.WeightFile(
        name: fileName(of: $0.path), path: $0.path, byteCount: $0.byteCount, header: nil,
        identity: $0.identity)
    }
    tensors = folder.tensors
    notes = folder.notes
    names = files.map(\.name) + folder.indexNames
  }
}
