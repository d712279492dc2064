import GristCore

/// The HDF5 files of a checkpoint folder: one file of datasets, or the shards of Keras 3 listed by `*.weights.json`.
struct HDF5Folder {
  static let endings = [".h5", ".hdf5"]
  static let indexEnding = ".weights.json"

  let files: [HDF5File]
  let tensors: [SourceTensor]
  let notes: [String]
  /// Names of indices that were followed.
  private(set) var indexNames: [String] = []

  static func holdsWeights(_ names: [String]) -> Bool {
    names.contains { name in endings.contains { name.hasSuffix($0) } }
  }

  /// - Throws: 66 when a shard is missing or nobody says which of several files is meant, 65 for what the files' reader
  ///   refuses.
  init(path: String, helper: String?) throws {
    let contents = try folderContents(path)
    let indices = contents.filter { $0.hasSuffix(Self.indexEnding) }
    if let index = indices.first, indices.count == 1 {
      self = try Self(shardsListedBy: joinPath(path, index), folder: path, helper: helper)
      indexNames = [index]
      return
    }
    let names = contents.filter { Self.holdsWeights([$0]) }
    guard let name = names.first, names.count == 1 else {
      throw GristError(
        .missingInput, "several HDF5 files and nothing that says what is where", file: path,
        found: (names + indices).joined(separator: ", "),
        advice: "keep one, or put Keras's \(Self.indexEnding) beside them")
    }
    let file = try HDF5File(path: joinPath(path, name), helper: helper)
    files = [file]
    tensors = file.tensors
    notes = ["\(name) is read by \(file.confinement)"]
  }

  /// Keras 3 writes which groups of variables are in which shards: `{"weight_map": {"/layers/dense/vars": SHARDS}}`,
  /// SHARDS one name or a list of them.
  private init(shardsListedBy indexPath: String, folder: String, helper: String?) throws {
    let index = try JSONReader(path: indexPath)
    var groupsByShard: [String: [String]] = [:]
    for (group, value) in try index.object("weight_map").object.members {
      let shards = value.string.map { [$0] } ?? value.array?.compactMap(\.string) ?? []
      guard !shards.isEmpty, shards.count == value.array?.count ?? 1,
        shards.allSatisfy({ Self.holdsWeights([$0]) && !$0.utf8.contains(UInt8(ascii: "/")) && !$0.utf8.contains(0) })
      else {
        throw GristError(
          .badData, "a shard must be named by a file name in the same folder", file: indexPath, tensor: group,
          found: value.text())
      }
      for shard in shards { groupsByShard[shard, default: []].append(group) }
    }
    var files: [HDF5File] = []
    var shardOf: [ByteName: String] = [:]
    for (shard, groups) in groupsByShard.sorted(by: { $0.key < $1.key }) {
      let path = joinPath(folder, shard)
      guard fileKind(at: path) != nil else {
        throw GristError(
          .missingInput, "a shard that \(fileName(of: indexPath)) lists is not there", file: path,
          advice: "fetch it, or fetch the whole checkpoint again")
      }
      let file = try HDF5File(path: path, helper: helper)
      for tensor in file.tensors {
        if let other = shardOf.updateValue(shard, forKey: ByteName(tensor.name)) {
          throw GristError(
            .badData, "the tensor is in two shards", file: path, tensor: tensor.name, found: "it is in \(other) too")
        }
      }
      for group in groups {
        let prefix = group.drop { $0 == "/" } + "/"
        guard file.tensors.contains(where: { $0.name.hasPrefix(prefix) }) else {
          throw GristError(
            .badData, "the index lists variables that the shard does not hold", file: path, tensor: group,
            advice: "fetch the shard again")
        }
      }
      files.append(file)
    }
    guard let first = files.first else {
      throw GristError(.badData, "the index lists no shard", file: indexPath)
    }
    self.files = files
    tensors = files.flatMap(\.tensors)
    notes = ["\(files.count) shards are read by \(first.confinement)"]
  }
}
