import GristCore

/// The safetensors files of a checkpoint folder: one file, or shards listed by an index.
struct SafetensorsFolder {
  static let indexName = "model.safetensors.index.json"

  let files: [SafetensorsFile]
  let tensors: [SourceTensor]
  let notes: [String]

  /// - Throws: 66 when the folder holds no weights or a shard is missing, 65 when index and shards disagree.
  init(path: String) throws {
    let contents = try folderContents(path)
    if contents.contains(Self.indexName) {
      self = try Self(shardsListedBy: joinPath(path, Self.indexName), folder: path)
      return
    }
    let names = contents.filter { $0.hasSuffix(".safetensors") }
    guard let name = names.first(where: { $0 == "model.safetensors" }) ?? names.first else {
      let others = contents.filter { $0.hasSuffix(".bin") || $0.hasSuffix(".pt") || $0.hasSuffix(".pth") }
      throw GristError(
        .missingInput, "the folder holds no safetensors file", file: path,
        found: others.isEmpty ? nil : others.joined(separator: ", "),
        advice: others.isEmpty
          ? "name the folder that holds model.safetensors" : "save the pickled weights as safetensors first")
    }
    guard names.count == 1 else {
      throw GristError(
        .missingInput, "several safetensors files but no \(Self.indexName) that says which tensor is where",
        file: path, found: names.joined(separator: ", "), advice: "fetch the index too")
    }
    let file = try SafetensorsFile(path: joinPath(path, name))
    files = [file]
    tensors = file.tensors
    notes = []
  }

  private init(shardsListedBy indexPath: String, folder: String) throws {
    let index = try JSONReader(path: indexPath)
    let map = try index.object("weight_map")
    var shardOf: [ByteName: String] = [:]
    for (tensor, value) in map.object.members {
      guard let shard = value.string, !shard.isEmpty, !shard.utf8.contains(UInt8(ascii: "/")), !shard.utf8.contains(0),
        shard != "..",
        shard != "."
      else {
        throw GristError(
          .badData, "a shard must be named by a file name in the same folder", file: indexPath, tensor: tensor,
          found: value.text())
      }
      shardOf[ByteName(tensor)] = shard
    }
    var files: [SafetensorsFile] = []
    var tensors: [SourceTensor] = []
    var notes: [String] = []
    var seen: [ByteName: String] = [:]
    for shard in Set(shardOf.values).sorted() {
      let path = joinPath(folder, shard)
      guard fileKind(at: path) != nil else {
        throw GristError(
          .missingInput, "a shard that \(Self.indexName) lists is not there", file: path,
          advice: "fetch it, or fetch the whole checkpoint again")
      }
      let file = try SafetensorsFile(path: path)
      files.append(file)
      for tensor in file.tensors {
        let name = ByteName(tensor.name)
        if let other = seen[name] {
          throw GristError(
            .badData, "the tensor is in two shards", file: path, tensor: tensor.name,
            offset: tensor.offset, found: "it is in \(other) too")
        }
        seen[name] = shard
        if let listed = shardOf[name], listed != shard {
          throw GristError(
            .badData, "the index says the tensor is in another shard", file: path, tensor: tensor.name,
            offset: tensor.offset, found: "listed in \(listed)")
        }
        if shardOf[name] == nil {
          notes.append("\(shard) holds \(tensor.name), which the index does not list; it is used all the same")
        }
        tensors.append(tensor)
      }
    }
    for (tensor, shard) in shardOf.sorted(by: { $0.key < $1.key }) where seen[tensor] == nil {
      throw GristError(
        .badData, "the index lists a tensor that its shard does not hold", file: joinPath(folder, shard),
        tensor: tensor.text, advice: "fetch the shard again")
    }
    self.files = files
    self.tensors = tensors
    self.notes = notes
  }
}
