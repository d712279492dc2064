import GristCore

/// The HDF5 files of a checkpoint folder: one file of datasets, or the shards of Keras 3 listed by `*.weights.json`.
struct HDF5Folder {
  static let endings = [".h5", ".hdf5"]
  static let indexEnding = ".weights.json"

  let files: [HDF5File]
  let tensors: [SourceTensor]
  let notes: [String]

  static func holdsWeights(_ names: [String]) -> Bool {
    names.contains { name in endings.contains { name.hasSuffix($0) } }
  }

  /// Throws 66 when a shard is missing or nobody says which of several files is meant, 65 for what the files' reader
  /// refuses.
  init(path: String, helper: String?) throws {
    let names = try folderContents(path).filter { Self.holdsWeights([$0]) }
    guard let name = names.first, names.count == 1 else {
      throw GristError(
        .missingInput, "several HDF5 files and nothing that says what is where", file: path,
        found: names.joined(separator: ", "), advice: "keep one, or put Keras's \(Self.indexEnding) beside them")
    }
    let file = try HDF5File(path: joinPath(path, name), helper: helper)
    files = [file]
    tensors = file.tensors
    notes = ["\(name) is read by \(file.confinement)"]
  }
}
