import GristCore
import GristSources
import TestSupport
import Testing

@Suite("Sharded checkpoints") struct ShardTests {
  let folder = try! TemporaryFolder()

  private func shard(_ file: String, _ names: String...) throws {
    let entries = names.enumerated().map { entry($1, "U8", [1], $0, $0 + 1) }
    try folder.write(file, safetensors("{" + entries.joined(separator: ",") + "}", data: names.count))
  }

  private func index(_ map: [(String, String)]) throws {
    let members = map.map { #""\#($0)":"\#($1)""# }.joined(separator: ",")
    try folder.write(
      "model.safetensors.index.json", Array(#"{"metadata":{"total_size":4},"weight_map":{\#(members)}}"#.utf8))
  }

  private func failure() -> GristError? {
    #expect(throws: GristError.self) { _ = try Checkpoint(path: folder.path) }
  }

  @Test("tensors of all shards, sorted by name")
  func whole() throws {
    try shard("1.safetensors", "b", "c")
    try shard("2.safetensors", "a")
    try index([("a", "2.safetensors"), ("b", "1.safetensors"), ("c", "1.safetensors")])
    let checkpoint = try Checkpoint(path: folder.path)
    #expect(checkpoint.tensors.map(\.name) == ["a", "b", "c"])
    #expect(checkpoint.weightFiles.map(\.name) == ["1.safetensors", "2.safetensors"])
    #expect(checkpoint.notes == [])
    #expect(checkpoint.tensor(named: "a")?.file == folder.file("2.safetensors"))
  }

  @Test("a missing shard is 66 and is named")
  func missingShard() throws {
    try shard("1.safetensors", "a")
    try index([("a", "1.safetensors"), ("b", "2.safetensors")])
    #expect(failure()?.code == .missingInput)
    #expect(failure()?.file == folder.file("2.safetensors"))
    #expect(failure()?.what == "a shard that model.safetensors.index.json lists is not there")
  }

  @Test("a damaged shard is 65 and is named")
  func damagedShard() throws {
    try shard("1.safetensors", "a")
    try folder.write("2.safetensors", Array(safetensors("{" + entry("b", "U8", [4], 0, 4) + "}", data: 4).dropLast()))
    try index([("a", "1.safetensors"), ("b", "2.safetensors")])
    #expect(failure()?.code == .badData)
    #expect(failure()?.file == folder.file("2.safetensors"))
    #expect(failure()?.tensor == "b")
  }

  @Test("a shard that is a folder is 65")
  func folderShard() throws {
    try folder.write("2.safetensors/x", [])
    try index([("b", "2.safetensors")])
    #expect(failure()?.code == .badData)
    #expect(failure()?.file == folder.file("2.safetensors"))
  }

  @Test("a tensor in two shards")
  func twice() throws {
    try shard("1.safetensors", "a")
    try shard("2.safetensors", "b", "a")
    try index([("a", "1.safetensors"), ("b", "2.safetensors")])
    #expect(failure()?.code == .badData)
    #expect(failure()?.what == "the tensor is in two shards")
    #expect(failure()?.tensor == "a")
    #expect(failure()?.found == "it is in 1.safetensors too")
    #expect(failure()?.offset != nil)
  }

  @Test("an index that names another shard")
  func otherShard() throws {
    try shard("1.safetensors", "a", "b")
    try shard("2.safetensors", "c")
    try index([("a", "1.safetensors"), ("b", "2.safetensors"), ("c", "2.safetensors")])
    #expect(failure()?.code == .badData)
    #expect(failure()?.what == "the index says the tensor is in another shard")
    #expect(failure()?.file == folder.file("1.safetensors"))
    #expect(failure()?.tensor == "b")
    #expect(failure()?.found == "listed in 2.safetensors")
  }

  @Test("a tensor that its shard does not hold")
  func notInShard() throws {
    try shard("1.safetensors", "a")
    try index([("a", "1.safetensors"), ("b", "1.safetensors")])
    #expect(failure()?.code == .badData)
    #expect(failure()?.what == "the index lists a tensor that its shard does not hold")
    #expect(failure()?.file == folder.file("1.safetensors"))
    #expect(failure()?.tensor == "b")
  }

  @Test(
    "a shard's name must not leave the folder",
    arguments: ["../1.safetensors", "/etc/passwd", "sub/1.safetensors", "..", ".", "", "1.safetensors\\u0000.txt"])
  func pathEscape(name: String) throws {
    try shard("1.safetensors", "a")
    try index([("a", name)])
    #expect(failure()?.code == .badData)
    #expect(failure()?.what == "a shard must be named by a file name in the same folder")
    #expect(failure()?.file == folder.file("model.safetensors.index.json"))
    #expect(failure()?.tensor == "a")
  }

  @Test("a shard's name that is no string")
  func nameNotString() throws {
    try folder.write("model.safetensors.index.json", Array(#"{"weight_map":{"a":1}}"#.utf8))
    #expect(failure()?.what == "a shard must be named by a file name in the same folder")
    #expect(failure()?.found == "1")
  }

  @Test("an index without weight_map, or that is not JSON", arguments: ["{}", #"{"weight_map":[]}"#, "[]", "{", ""])
  func badIndex(text: String) throws {
    try shard("1.safetensors", "a")
    try folder.write("model.safetensors.index.json", Array(text.utf8))
    #expect(failure()?.code == .badData)
    #expect(failure()?.file == folder.file("model.safetensors.index.json"))
  }

  @Test("several files without an index")
  func noIndex() throws {
    try shard("1.safetensors", "a")
    try shard("2.safetensors", "b")
    #expect(failure()?.code == .missingInput)
    #expect(failure()?.found == "1.safetensors, 2.safetensors")
    #expect(failure()?.advice == "fetch the index too, or name the one file that is meant")
  }

  @Test("an unlisted tensor is used, and noted")
  func unlisted() throws {
    try shard("1.safetensors", "a", "b")
    try index([("a", "1.safetensors")])
    let checkpoint = try Checkpoint(path: folder.path)
    #expect(checkpoint.tensors.map(\.name) == ["a", "b"])
    #expect(checkpoint.notes == ["1.safetensors holds b, which the index does not list; it is used all the same"])
  }

  @Test("a file that is no part of the model is noted")
  func otherFiles() throws {
    try shard("1.safetensors", "a")
    try shard("old.safetensors", "a")
    try folder.write("README.md", [])
    try index([("a", "1.safetensors")])
    #expect(
      try Checkpoint(path: folder.path).notes == [
        "README.md is no part of the model and is left out", "old.safetensors is no part of the model and is left out",
      ])
  }

  @Test("a single file under any name")
  func single() throws {
    try shard("weights.safetensors", "a")
    #expect(try Checkpoint(path: folder.path).tensors.map(\.name) == ["a"])
  }

  @Test("a folder that is not there, or is a file, is 66")
  func noFolder() throws {
    try folder.write("file", [])
    for (name, what) in [("missing", "no such folder"), ("file", "not a checkpoint folder")] {
      let error = #expect(throws: GristError.self) { _ = try Checkpoint(path: folder.file(name)) }
      #expect(error?.code == .missingInput)
      #expect(error?.what == what)
    }
  }
}
