import GristCore

/// A file of weights that was opened, whatever its format.
struct OpenedWeights {
  let file: Checkpoint.WeightFile
  let tensors: [SourceTensor]
  var notes: [String] = []
}

/// Weights in several files, listed by the index that transformers writes: `{"weight_map": {TENSOR: FILE}}`.
struct ShardedWeights {
  let files: [Checkpoint.WeightFile]
  let tensors: [SourceTensor]
  let notes: [String]

  /// - Parameters:
  ///   - indexName: the index.
  ///   - folder: where it and the shards lie.
  ///   - open: opens a shard.
  ///
  /// - Throws: 66 when a shard is missing, 65 when index and shards disagree, and what opening throws.
  init(listedBy indexName: String, folder: String, open: (String) throws -> OpenedWeights) throws {
    let shardOf = try Self.index(joinPath(folder, indexName))
    var (files, tensors, notes) = ([Checkpoint.WeightFile](), [SourceTensor](), [String]())
    var seen: [ByteName: String] = [:]
    for shard in Set(shardOf.values).sorted() {
      let path = joinPath(folder, shard)
      guard fileKind(at: path) != nil else {
        throw GristError(
          .missingInput, "a shard that \(indexName) lists is not there", file: path,
          advice: "fetch it, or fetch the whole checkpoint again")
      }
      let opened = try open(path)
      files.append(opened.file)
      notes += opened.notes
      for tensor in opened.tensors {
        let name = ByteName(tensor.name)
        if let other = seen[name] {
          throw GristError(
            .badData, "the tensor is in two shards", file: path, tensor: tensor.name, offset: tensor.offset,
            found: "it is in \(other) too")
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

  /// The shard of each tensor.
  private static func index(_ path: String) throws -> [ByteName: String] {
    let map = try JSONReader(path: path).object("weight_map")
    var shardOf: [ByteName: String] = [:]
    for (tensor, value) in map.object.members {
      guard let shard = value.string, !shard.isEmpty, !shard.utf8.contains(UInt8(ascii: "/")), !shard.utf8.contains(0),
        shard != "..", shard != "."
      else {
        throw GristError(
          .badData, "a shard must be named by a file name in the same folder", file: path, tensor: tensor,
          found: value.text())
      }
      shardOf[ByteName(tensor)] = shard
    }
    return shardOf
  }
}
