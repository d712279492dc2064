import GristCore
import GristFormat
import GristSources

/// What an export writes, decided before a byte is written.
struct ExportPlan {
  /// A safetensors file.
  struct Weights {
    /// Its path from the folder.
    let name: String
    let header: Bytes
    /// What follows the header, one behind the other.
    let tensors: [SourceTensor]
    /// Of a file that upstream had with this very header: what its SHA-256 was.
    let original: String?

    var byteCount: Int { header.count + tensors.reduce(0) { $0 + $1.byteCount } }
  }

  let weights: [Weights]
  /// Names of files inside the `.grist` file that are given back as they are.
  let sideFiles: [String]
  /// Small files that are made anew: indexes of shards.
  let made: [(name: String, bytes: Bytes)]
  let notes: [String]

  /// - Throws: 65 for a file whose parts do not fit together.
  init(_ file: GristFile, options: Export.Options) throws {
    let exported = try ExportedTensors(file, as: options.element)
    var notes = exported.notes
    var weights: [Weights] = []
    var made: [(name: String, bytes: Bytes)] = []
    var remade: Set<String> = []
    for folder in ["", SideFiles.towerFolder] {
      let members = exported.tensors.filter { Self.folder(of: $0, file) == folder }
      guard !members.isEmpty else { continue }
      if options.element == nil, let same = try Self.asTheyWere(members, in: folder, of: file) {
        weights += same
        continue
      }
      let laid = try Self.anew(members, in: folder, shardBytes: options.shardBytes)
      weights += laid.weights
      made += laid.index.map { [$0] } ?? []
      remade.formUnion([WeightFiles.indexName, WeightFiles.torchIndexName].map { folder + $0 })
      if options.element == nil {
        notes.append(
          "what the weights\(folder.isEmpty ? "" : " of \(folder)") came from is no safetensors, or parts of it were left "
            + "out: they are laid out anew, under their names and in their layouts there")
      }
    }
    self.weights = weights
    self.made = made
    self.notes = notes
    sideFiles = file.manifest.files.map(\.name).filter { name in
      !["source/", "verification/", "signature/"].contains { name.hasPrefix($0) } && !remade.contains(name)
    }
  }

  private static func folder(of tensor: ExportedTensors.Exported, _ file: GristFile) -> String {
    let sources = file.manifest.provenance.sources
    guard let source = tensor.source, sources.indices.contains(source) else { return "" }
    return sources[source].name.hasPrefix(SideFiles.towerFolder) ? SideFiles.towerFolder : ""
  }

  /// The weight files of a folder with the headers that they had; nil where one has none that is kept, or a tensor of
  /// one is not there or is another.
  private static func asTheyWere(
    _ members: [ExportedTensors.Exported], in folder: String, of file: GristFile
  ) throws -> [Weights]? {
    let sources = file.manifest.provenance.sources.enumerated().filter { _, source in
      source.name.hasPrefix(SideFiles.towerFolder) == !folder.isEmpty
    }
    var byName: [ByteName: [(place: Int, tensor: SourceTensor, source: Int?)]] = [:]
    for (place, member) in members.enumerated() {
      for name in member.names { byName[ByteName(name), default: []].append((place, member.tensor, member.source)) }
    }
    var used: Set<Int> = []
    var files: [Weights] = []
    for (index, source) in sources {
      guard let header = try file.sideFile(named: Source.headerFolder + source.name + ".header"),
        let entries = try? SafetensorsHeader(header)
      else { return nil }
      var tensors: [SourceTensor] = []
      for entry in entries.tensors {
        let found = byName[ByteName(entry.name)]?.first { $0.source == nil || $0.source == index }
        guard let found, found.tensor.elementType == entry.elementType, found.tensor.shape == entry.shape else {
          return nil
        }
        used.insert(found.place)
        tensors.append(found.tensor)
      }
      files.append(Weights(name: source.name, header: header, tensors: tensors, original: source.sha256))
    }
    return used.count == members.count && !files.isEmpty ? files : nil
  }

  /// The weights in files of our own making, as transformers shards them: `model.safetensors`, or several and an index.
  private static func anew(
    _ members: [ExportedTensors.Exported], in folder: String, shardBytes: Int
  ) throws -> (weights: [Weights], index: (name: String, bytes: Bytes)?) {
    var shards: [[SourceTensor]] = [[]]
    var names: Set<ByteName> = []
    var filled = 0
    for tensor in members.flatMap({ member in member.names.map { member.tensor.renamed($0) } }) {
      guard names.insert(ByteName(tensor.name)).inserted else {
        throw GristError(.badData, "two tensors had one name upstream", file: tensor.file, tensor: tensor.name)
      }
      if filled > 0, filled + tensor.byteCount > shardBytes {
        shards.append([])
        filled = 0
      }
      shards[shards.count - 1].append(tensor)
      filled += tensor.byteCount
    }
    func number(_ value: Int) -> String { String(repeating: "0", count: max(0, 5 - "\(value)".count)) + "\(value)" }
    var map = JSONObject()
    let weights = shards.enumerated().map { index, tensors in
      let name =
        shards.count == 1 ? "model.safetensors" : "model-\(number(index + 1))-of-\(number(shards.count)).safetensors"
      for tensor in tensors { map[tensor.name] = JSONValue(name) }
      let header = SafetensorsWriter.header(
        metadata: [("format", "pt")], tensors.map { ($0.name, $0.elementType, $0.shape, $0.byteCount) })
      return Weights(name: folder + name, header: Bytes(header), tensors: tensors, original: nil)
    }
    guard shards.count > 1 else { return (weights, nil) }
    let total = members.reduce(0) { $0 + $1.tensor.byteCount * $1.names.count }
    let index: JSONValue = ["metadata": ["total_size": JSONValue(total)], "weight_map": .object(map)]
    return (weights, (folder + WeightFiles.indexName, Bytes(Array((index.text() + "\n").utf8))))
  }
}
