import GristCore
import GristSources
import TestSupport
import Testing

@Suite("A vision tower that comes separately") struct VisionTowerTests {
  static let source = Fixtures.path("checkpoints/crop")
  static let prefix = "model.vision_tower.vision_tower."
  let folder = try! TemporaryFolder()

  /// Splits the fixture in two: the checkpoint without its tower's weights, and the tower as a CLIP checkpoint.
  private func split(without prefix: String = "") throws {
    let whole = try canonicalCheckpoint(Self.source)
    var rest = SafetensorsWriter()
    var tower = SafetensorsWriter()
    for tensor in whole.tensors {
      if tensor.name.hasPrefix(Self.prefix) {
        try tower.add(
          String(tensor.name.dropFirst(Self.prefix.count + prefix.count)), tensor.elementType, shape: tensor.shape,
          bytes: tensor.bytes())
      } else {
        try rest.add(tensor.name, tensor.elementType, shape: tensor.shape, bytes: tensor.bytes())
      }
    }
    try tower.add("text_model.final_layer_norm.weight", shape: [1], floats: [1])
    try folder.write("checkpoint/model.safetensors", rest.encoded.array)
    try folder.write("tower/model.safetensors", tower.encoded.array)
    for name in ["config.json", "tokenizer.model"] {
      try folder.write("checkpoint/" + name, readFile(Self.source + "/" + name).array)
    }
    for name in ["config.json", "preprocessor_config.json"] {
      try folder.write("tower/" + name, readFile(Self.source + "/vision_tower/" + name).array)
    }
  }

  @Test(
    "gives the same tensors, to the byte, and the same configuration, as transformers 4 names them and as 5 does",
    arguments: ["", "vision_model."])
  func sameTensors(prefix: String) throws {
    try split(without: prefix)
    let whole = try canonicalCheckpoint(Self.source)
    let joined = try canonicalCheckpoint(folder.file("checkpoint"), SourceOptions(visionTower: folder.file("tower")))
    #expect(joined.tensors.map(\.name) == whole.tensors.map(\.name))
    for (a, b) in zip(joined.tensors, whole.tensors) {
      #expect(a.shape == b.shape && a.elementType == b.elementType)
      #expect(try a.bytes().elementsEqual(b.bytes()), "\(a.name)")
    }
    #expect(try joined.fingerprint() == whole.fingerprint())
    let a = try ModelConfiguration(path: "") { joined.sideFile(named: $0) }
    let b = try ModelConfiguration(path: "") { whole.sideFile(named: $0) }
    #expect(a.vision.map { "\($0)" } == b.vision.map { "\($0)" })
    let count = whole.tensors.filter { $0.name.hasPrefix(Self.prefix) }.count
    #expect(joined.notes.contains("the vision tower's \(count) tensors come from \(folder.file("tower"))"))
  }

  @Test("its weight file keeps a name of its own, although both are called model.safetensors")
  func fileNames() throws {
    try split()
    let joined = try canonicalCheckpoint(folder.file("checkpoint"), SourceOptions(visionTower: folder.file("tower")))
    #expect(joined.weightFiles.map(\.name) == ["model.safetensors", "vision_tower/model.safetensors"])
  }

  @Test("a checkpoint that has its own tower keeps it, and says so")
  func ownTower() throws {
    try split()
    let both = try canonicalCheckpoint(Self.source, SourceOptions(visionTower: folder.file("tower")))
    #expect(both.weightFiles.map(\.name) == ["model.safetensors"])
    #expect(both.notes.contains { $0.hasPrefix("the checkpoint has its own vision tower weights") })
  }

  @Test("a tower's folder that is not there, or has no config.json, is 66")
  func missing() throws {
    try split()
    try folder.write("empty/x", [])
    for name in ["nowhere", "empty"] {
      let error = #expect(throws: GristError.self) {
        _ = try canonicalCheckpoint(folder.file("checkpoint"), SourceOptions(visionTower: folder.file(name)))
      }
      #expect(error?.code == .missingInput)
      #expect(error?.file == folder.file(name))
    }
  }

  @Test(
    "a tower named by a path outside the checkpoint is not followed",
    arguments: ["../tower", "/tower", "a/../../tower"])
  func outside(name: String) throws {
    try split()
    let config = try #require(readFile(folder.file("checkpoint/config.json")).utf8)
    try folder.write(
      "checkpoint/config.json",
      Array(
        config.split(separator: "\n").map {
          $0.contains("mm_vision_tower") ? "\"mm_vision_tower\": \"\(name)\"," : String($0)
        }.joined(separator: "\n").utf8))
    let error = try #require(throws: GristError.self) {
      _ = try canonicalCheckpoint(folder.file("checkpoint"))
    }
    #expect(error.code == .missingInput && error.found == name)
  }
}
