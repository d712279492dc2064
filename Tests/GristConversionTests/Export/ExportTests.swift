import Foundation
import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristSources
import TestSupport
import Testing

@Suite("Exports") struct ExportTests {
  let folder = try! TemporaryFolder()

  private func export(
    _ name: String = "x.grist", to output: String = "out", _ change: (inout Export.Options) -> Void = { _ in }
  ) throws -> Export.Summary {
    var options = Export.Options()
    options.verifies = true
    change(&options)
    return try Export(GristFile(path: folder.file(name)), options: options).run(to: folder.file(output))
  }

  private func same(_ one: String, _ other: String) throws -> Bool {
    try readFile(one).elementsEqual(readFile(other))
  }

  @Test(
    "from a file that lost nothing the very files come out that went in",
    arguments: [
      "conformance/small-f32", "checkpoints/bf16-sharded", "checkpoints/f16-tied", "huggingface/llava-4",
      "huggingface/next-5", "huggingface/mistral",
    ], Packing.allCases)
  func identical(source: String, packing: Packing) throws {
    let source = Fixtures.path(source)
    try convert(source, to: folder.file("x.grist"), packing: packing)
    let summary = try export()
    let checkpoint = try Checkpoint(path: source)
    for name in checkpoint.weightFiles.map(\.name) + checkpoint.sideFiles.map(\.name) {
      #expect(try same(source + "/" + name, folder.file("out/" + name)), "\(name)")
    }
    #expect(summary.files.allSatisfy { $0.isOriginal == true } && summary.notes.isEmpty)
    // The vision tower's small files lie in a folder of their own.
    let tower = summary.files.filter { $0.name.hasPrefix("vision_tower/") }
    #expect(summary.files.count - tower.count == checkpoint.weightFiles.count + checkpoint.sideFiles.count)
    #expect(folder.contents == ["out", "x.grist"])
  }

  @Test(
    "tensors of HDF5 and of pickles come out under their own names, in their own layouts",
    arguments: [
      "keras-hub/clip", "keras-hub/llama", "keras-hub/llama3.keras", "keras/sharded", "torch/views-2.15.0.bin",
      "torch/types-1.13.0a0.bin",
    ])
  func otherFormats(source: String) throws {
    let source = Fixtures.path(source)
    try convert(source, to: folder.file("x.grist"))
    let summary = try export()
    let before = try Checkpoint(path: source)
    let after = try Checkpoint(path: folder.file("out/model.safetensors"))
    // The optimizer's state is left out.
    let kept = before.tensors.filter { !$0.name.hasPrefix("optimizer") && !$0.name.hasPrefix("/optimizer") }
    #expect(after.tensors.map(\.name) == kept.map(\.name).filter { name in after.tensors.contains { $0.name == name } })
    for tensor in after.tensors {
      let original = try #require(before.tensors.first { $0.name == tensor.name })
      #expect(tensor.shape == original.shape && tensor.elementType == original.elementType, "\(tensor.name)")
      #expect(try tensor.bytes().elementsEqual(original.bytes()), "\(tensor.name)")
    }
    #expect(summary.notes.count == 1 && summary.notes[0].contains("no safetensors"))
    // And it converts to the same weights.
    try convert(folder.file("out"), to: folder.file("again.grist"))
    let fingerprints = try ["x.grist", "again.grist"].map {
      try GristFile(path: folder.file($0)).manifest.provenance.fingerprint
    }
    #expect(fingerprints[0] == fingerprints[1])
  }

  @Test("a map's steps are undone: renamed, turned, reshaped, cut; what was joined keeps our name")
  func maps() throws {
    let path = try checkpoint(
      [
        ("a", [2, 3, 4], values(24)), ("qkv", [6, 5], values(30)), ("left", [2, 3], values(6)),
        ("right", [2, 3], values(6, scale: 2)), ("same", [7], values(7)),
      ], in: folder)
    let map = try NameMap(
      """
      map test
      about this test
      a      -> x : reshape 0,1*2 | transpose
      qkv    -> q : split 1/3 | transpose
      qkv    -> k : split 2/3
      qkv    -> v : split 3/3
      left   -> both : join 1/2
      right  -> both : join 2/2
      """, file: "test.map")
    let source = try Source.open(path: path, options: SourceOptions(map: map))
    let recipe = try Recipe(.source)
    let plan = try ConversionPlan(source, recipe: recipe)
    _ = try Converter(pool: ThreadPool(threads: 1), packing: .raw).convert(
      source, plan: plan, recipe: recipe, to: folder.file("x.grist"))
    let summary = try export()
    let before = try Checkpoint(path: path)
    let after = try Checkpoint(path: folder.file("out"))
    #expect(Set(after.tensors.map(\.name)) == ["a", "qkv", "same", "both"])
    for name in ["a", "qkv", "same"] {
      let (one, other) = (try #require(before.tensor(named: name)), try #require(after.tensor(named: name)))
      #expect(one.shape == other.shape)
      #expect(try one.bytes().elementsEqual(other.bytes()), "\(name)")
    }
    #expect(after.tensor(named: "both")?.shape == [4, 3])
    #expect(summary.notes.contains { $0.hasPrefix("1 tensors keep the names") })
  }

  @Test("what was quantized is expanded to upstream's type, in the files that upstream had")
  func quantized() throws {
    try convert(Sources.sharded, to: folder.file("x.grist"), .int4All)
    let summary = try export()
    #expect(summary.files.contains { $0.isOriginal == false } && summary.notes.isEmpty)
    let file = try GristFile(path: folder.file("x.grist"))
    let (before, after) = (try Checkpoint(path: Sources.sharded), try Checkpoint(path: folder.file("out")))
    #expect(after.tensors.map(\.name) == before.tensors.map(\.name))
    let stored = try file.sourceTensors()
    for (tensor, original) in zip(after.tensors, before.tensors) {
      #expect(tensor.elementType == original.elementType && tensor.shape == original.shape)
      let record = try #require(file.manifest.tensors.first { $0.origin.name == tensor.name })
      let expanded = try #require(stored.first { $0.name == record.name })
      guard expanded.elementType == .f32, tensor.elementType == .bf16 else { continue }
      let rounded = GristKernels.floats(try expanded.bytes(), .f32).withUnsafeBufferPointer {
        convertFloats($0, to: .bf16).payload
      }
      #expect(try tensor.bytes().elementsEqual(rounded), "\(tensor.name)")
    }
  }

  @Test(
    "asked for another type, in shards of at most some size, with an index", arguments: [ElementType.f32, .f16, .bf16])
  func types(element: ElementType) throws {
    try convert(Sources.sharded, to: folder.file("x.grist"), .int8)
    let summary = try export {
      $0.element = element
      $0.shardBytes = 100_000
    }
    let after = try Checkpoint(path: folder.file("out"))
    #expect(after.tensors.allSatisfy { $0.elementType == element || !$0.elementType.isFloatingPoint })
    let files = summary.files.filter { $0.name.hasSuffix(".safetensors") }
    #expect(files.count > 2 && files[0].name.hasPrefix("model-00001-of-000"))
    let names = try Checkpoint(path: Sources.sharded).tensors.map(\.name)
    #expect(after.tensors.map(\.name) == names)
    let index = try JSONValue.parse(readFile(folder.file("out/model.safetensors.index.json")))
    #expect(index["metadata"]?["total_size"]?.integer == after.tensors.reduce(0) { $0 + $1.byteCount })
    #expect(index["weight_map"]?.object?.names.count == names.count)
  }

  @Test("f64 comes back as f64, and a value that is too large is no f16")
  func extremes() throws {
    var writer = SafetensorsWriter()
    let doubles = values(16 * 64, scale: 200_000).map { Double($0) }
    try writer.add("d", .f64, shape: [16, 64], bytes: doubles.withUnsafeBytes { Bytes(Array($0)) })
    try folder.write("s/model.safetensors", writer.encoded.array)
    try convert(folder.file("s"), to: folder.file("x.grist"), .int8)
    _ = try export()
    let back = try #require(Checkpoint(path: folder.file("out")).tensor(named: "d"))
    let expanded = try floats("d", in: folder.file("x.grist"))
    #expect(back.elementType == .f64)
    #expect(try back.bytes().withUnsafeBytes { Array($0.bindMemory(to: Double.self)) } == expanded.map { Double($0) })
    let error = #expect(throws: GristError.self) { try export(to: "f16") { $0.element = .f16 } }
    #expect(error?.what == "a value is too large for f16" && error?.tensor == "d")
    #expect(folder.contents == ["out", "s", "x.grist"])
  }

  @Test("nothing is replaced, nothing is left, and no name leads out of the folder")
  func refused() throws {
    try convert(Sources.crop, to: folder.file("x.grist"))
    try folder.write("out/there", [1])
    #expect(try #require(throws: GristError.self) { try export() }.code == .usage)
    #expect(folder.contents == ["out", "x.grist"])
    try FileManager.default.removeItem(atPath: folder.file("out/there"))
    _ = try export()
    let missing = try #require(throws: GristError.self) { try export(to: "no/such") }
    #expect(missing.code == .inputOutput)
    for name in ["../evil", "/evil", "a/../../evil", "a//b", ".", ""] {
      let writer = try GristWriter(
        path: folder.file("evil.grist"), provenance: GristFile(path: folder.file("x.grist")).manifest.provenance)
      writer.beginSegment("files")
      try writer.add(file: name, Bytes([1]), sha256: "", packing: .raw)
      try writer.finish()
      let error = try #require(throws: GristError.self, "\(name)") { try export("evil.grist", to: "e") }
      #expect(error.code == .badData && error.what == "a file's name that cannot be one in a folder")
    }
    #expect(folder.contents == ["evil.grist", "out", "x.grist"])
  }

  @Test("damage is found before the folder is there, and what a killed program left goes")
  func damaged() throws {
    try convert(Sources.crop, to: folder.file("x.grist"), packing: .raw)
    var bytes = try readFile(folder.file("x.grist")).array
    bytes[65_540] ^= 1
    try folder.write("x.grist", bytes)
    try folder.write(".out.1234abcd.partial/deep/file", [1])
    let error = try #require(throws: GristError.self) { try export() }
    #expect(error.code == .badData && error.what.hasPrefix("the checksum of chunk 0"))
    #expect(folder.contents == ["x.grist"])
  }
}
