import GristCore
import GristSources
import TestSupport
import Testing

/// Which of a folder's files are the weights.
@Suite("Folders of weights") struct WeightFolderTests {
  private let folder = try! TemporaryFolder()

  private func safetensors(_ names: String...) -> [UInt8] {
    let entries = names.enumerated().map { index, name in
      "\"\(name)\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[\(index),\(index + 1)]}"
    }
    let header = Array("{\(entries.joined(separator: ","))}".utf8)
    return (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header + names.map { _ in 7 }
  }

  private func refusal(_ path: String? = nil) -> GristError? {
    #expect(throws: GristError.self) { _ = try Checkpoint(path: path ?? folder.path) }
  }

  @Test("model.safetensors counts before an index, as in transformers, and that is said")
  func both() throws {
    try folder.write("model.safetensors", safetensors("a"))
    try folder.write("model-00001-of-00001.safetensors", safetensors("b"))
    try folder.write(
      "model.safetensors.index.json", Array(#"{"weight_map":{"b":"model-00001-of-00001.safetensors"}}"#.utf8))
    let checkpoint = try Checkpoint(path: folder.path)
    #expect(checkpoint.tensors.map(\.name) == ["a"])
    #expect(
      checkpoint.notes == [
        "model.safetensors counts before model.safetensors.index.json, as in transformers; 1 shards are left out"
      ])
  }

  @Test("safetensors count before pickled weights, and those before Keras's")
  func order() throws {
    try folder.write("pytorch_model.bin", readFile(Fixtures.path("torch/hostile/sound.bin")).array)
    try folder.write("tf_model.h5", [1, 2, 3])
    #expect(try Checkpoint(path: folder.path).tensors.map(\.name) == ["w"])
    try folder.write("model.safetensors", safetensors("a"))
    #expect(try Checkpoint(path: folder.path).tensors.map(\.name) == ["a"])
  }

  @Test(
    "files that are no model are told by what they are",
    arguments: [
      ("._model.safetensors", "what a Mac keeps beside a file"),
      ("consolidated.safetensors", "a copy of the weights under Mistral's or Meta's own names"),
      ("adapter_model.safetensors", "a LoRA adapter"), ("optimizer.pt", "an optimizer's state"),
      ("training_args.bin", "a training's settings"), ("rng_state_0.pth", "a training's state"),
      ("mm_projector.bin", "a projector alone"),
    ])
  func others(name: String, meaning: String) throws {
    try folder.write("weights.safetensors", safetensors("a"))
    try folder.write(name, [0, 5, 22, 7])
    let checkpoint = try Checkpoint(path: folder.path)
    #expect(checkpoint.tensors.map(\.name) == ["a"])
    #expect(checkpoint.notes == ["\(name) is \(meaning) and is left out"])
  }

  @Test("a folder without a model says what it holds, and what to do")
  func nothing() throws {
    #expect(refusal()?.what == "the folder holds no weights" && refusal()?.code == .missingInput)
    try folder.write("mm_projector.bin", [1])
    #expect(refusal()?.what == "a projector alone, not a model")
    try folder.write("consolidated.00.pth", [1])
    #expect(refusal()?.what == "only weights under Mistral's or Meta's own names")
    try folder.write("adapter_model.bin", [1])
    #expect(refusal()?.what == "a LoRA adapter, not a model")
    #expect(refusal()?.advice?.contains("merge_and_unload") == true)
    try folder.write("non_lora_trainables.bin", [1])
    #expect(refusal()?.advice?.contains("merge_lora_weights.py") == true)
  }

  @Test("a lone file is a checkpoint, with the small files of its folder")
  func loneFile() throws {
    try folder.write("some.safetensors", safetensors("a"))
    try folder.write("other.safetensors", safetensors("b"))
    try folder.write("config.json", Array("{}".utf8))
    let checkpoint = try Checkpoint(path: folder.file("other.safetensors"))
    #expect(checkpoint.tensors.map(\.name) == ["b"] && checkpoint.sideFiles.map(\.name) == ["config.json"])
    #expect(checkpoint.notes.isEmpty)
  }

  @Test(
    "a link to nothing is a file that is missing", arguments: ["config.json", "model.safetensors", "pytorch_model.bin"])
  func danglingLink(name: String) throws {
    try folder.write("weights.safetensors", safetensors("a"))
    try folder.link(name, to: "../../blobs/0123")
    let error = refusal()
    #expect(error?.what == "a link that leads nowhere" && error?.found == "../../blobs/0123")
    #expect(error?.code == .missingInput && error?.file == folder.file(name))
  }

  @Test("metadata of null and further fields are passed over, as the reference parser does")
  func metadata() throws {
    let header = Array(
      #"{"__metadata__":null,"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"strides":[1]}}"#.utf8)
    try folder.write("model.safetensors", [UInt8(header.count)] + [UInt8](repeating: 0, count: 7) + header + [3])
    #expect(try Checkpoint(path: folder.path).tensors.map { try $0.bytes().array } == [[3]])
  }
}
