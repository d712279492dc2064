import Foundation
import GristCore
import GristKernels
import GristModel
import GristSources
import TestSupport
import Testing

/// A checkpoint's tensors as real Keras layers carried and saved them: Tools/reference/write_keras.py.
@Suite("Keras's HDF5 formats") struct KerasTests {
  static let original = Fixtures.path("checkpoints/four-choices")

  /// A folder with one of the formats, and everything of the original but its weights.
  private func folder(_ files: [String]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for name in try folderContents(Self.original) where !name.hasSuffix(".safetensors") {
      _ = try folder.copy(joinPath(Self.original, name), to: name)
    }
    for file in files { _ = try folder.copy(Fixtures.path("keras/" + file), to: fileName(of: file)) }
    return folder
  }

  static let shards = ["sharded/model.weights.json"] + (0..<4).map { "sharded/model_0000\($0).weights.h5" }
  static let formats: [(files: [String], map: String)] = [
    (["model.weights.h5"], "keras.map"), (["model.keras"], "keras.map"), (shards, "keras.map"),
    (["legacy.h5"], "keras-legacy.map"),
  ]

  @Test("the same weights in every format: one fingerprint, and the same answers", arguments: formats)
  func same(files: [String], map: String) throws {
    let folder = try folder(files)
    let options = SourceOptions(map: try NameMap(path: Fixtures.path("keras/" + map)))
    let checkpoint = try canonicalCheckpoint(folder.path, options)
    let original = try Checkpoint(path: Self.original)
    #expect(checkpoint.tensors.map(\.name) == original.tensors.map(\.name))
    for tensor in original.tensors {
      let same = try #require(checkpoint.tensor(named: tensor.name))
      #expect(same.shape == tensor.shape && same.elementType == tensor.elementType, "\(tensor.name)")
      #expect(try same.bytes().elementsEqual(tensor.bytes()), "\(tensor.name)")
      // Read from its middle again, as a conversion does after it was let go.
      same.release()
      let half = tensor.byteCount / 2
      #expect(try same.bytes(half..<tensor.byteCount).elementsEqual(tensor.bytes(half..<tensor.byteCount)))
    }
    #expect(try checkpoint.fingerprint() == original.fingerprint())
    #expect(checkpoint.notes.contains { $0.contains("libhdf5") })
  }

  @Test("shards that are missing, or lack what the index lists, are named")
  func brokenShards() throws {
    let folder = try folder(Array(Self.shards.dropLast()))
    let missing = try #require(throws: GristError.self) { _ = try Checkpoint(path: folder.path) }
    #expect(missing.code == .missingInput && missing.file?.hasSuffix("model_00003.weights.h5") == true)
    _ = try folder.copy(Fixtures.path("keras/sharded/model_00000.weights.h5"), to: "model_00003.weights.h5")
    let other = try #require(throws: GristError.self) { _ = try Checkpoint(path: folder.path) }
    #expect(other.code == .badData && "\(other)".contains("is in two shards"))
    try folder.write("model.weights.json", Array(#"{"weight_map": {"/layers/a/vars": "model_00000.weights.h5"}}"#.utf8))
    let unlisted = try #require(throws: GristError.self) { _ = try Checkpoint(path: folder.path) }
    #expect(
      "\(unlisted)".contains("lists variables that the shard does not hold") && unlisted.tensor == "/layers/a/vars")
    try folder.write("model.weights.json", Array(#"{"weight_map": {"/layers/a/vars": "../x.weights.h5"}}"#.utf8))
    let outside = try #require(throws: GristError.self) { _ = try Checkpoint(path: folder.path) }
    #expect(outside.code == .badData && "\(outside)".contains("file name in the same folder"))
  }
}
