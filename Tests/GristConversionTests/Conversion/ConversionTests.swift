import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristSources
import TestSupport
import Testing

@Suite("Conversions") struct ConversionTests {
  let folder = try! TemporaryFolder()

  @Test(
    "the source recipe keeps every byte, and the small files",
    arguments: [Sources.crop, Sources.sharded, Sources.tied],
    Packing.allCases)
  func lossless(source: String, packing: Packing) throws {
    try convert(source, to: folder.file("x.grist"), packing: packing)
    let file = try GristFile(path: folder.file("x.grist"))
    let checkpoint = try canonicalCheckpoint(source)
    #expect(file.manifest.tensors.count == checkpoint.tensors.count)
    for tensor in checkpoint.tensors {
      #expect(try payload(of: tensor.name, in: file) == tensor.bytes().array, "\(tensor.name)")
      let record = try #require(file.tensor(named: tensor.name))
      #expect(record.shape == tensor.shape && record.scheme == .plain(tensor.elementType) && record.relativeError == 0)
    }
    for side in checkpoint.sideFiles {
      #expect(try file.sideFile(named: side.name)?.array == side.bytes.array)
    }
    let headers = file.manifest.files.filter { $0.name.hasPrefix("source/") }
    #expect(headers.map(\.name) == checkpoint.weightFiles.map { "source/\($0.name).header" })
    #expect(file.manifest.provenance.sources.map(\.name) == checkpoint.weightFiles.map(\.name))
    for (record, weight) in zip(file.manifest.provenance.sources, checkpoint.weightFiles) {
      #expect(try record.sha256 == sha256(MappedFile(path: weight.path).bytes))
    }
    #expect(try file.manifest.provenance.fingerprint == checkpoint.fingerprint())
    #expect(folder.contents == ["x.grist"])
  }

  @Test(
    "the same conversion writes the same bytes, with 1 thread or 4",
    arguments: [Recipe.Name.source, .int8, .int4, .int4All, .f32])
  func reproducible(recipe: Recipe.Name) throws {
    try convert(Sources.sharded, to: folder.file("1.grist"), recipe, threads: 1)
    try convert(Sources.sharded, to: folder.file("4.grist"), recipe, threads: 4)
    #expect(try readFile(folder.file("1.grist")).elementsEqual(readFile(folder.file("4.grist"))))
  }

  @Test("a tensor of many chunks is the same with 1 thread or 4, packed or not")
  func manyChunks() throws {
    let source = try checkpoint([("w", [2050, 700], values(2050 * 700))], in: folder)
    for recipe in [Recipe.Name.source, .int8, .int4All, .bf16] {
      for packing in Packing.allCases {
        try convert(source, to: folder.file("1.grist"), recipe, packing: packing, threads: 1)
        try convert(source, to: folder.file("4.grist"), recipe, packing: packing, threads: 4)
        #expect(try readFile(folder.file("1.grist")).elementsEqual(readFile(folder.file("4.grist"))))
      }
    }
    try convert(source, to: folder.file("x.grist"), .source)
    let file = try GristFile(path: folder.file("x.grist"))
    #expect(file.tensor(named: "w")?.chunks.count == 6)
  }

  @Test("from a lossless .grist to int8 is the same as straight to int8", arguments: [Sources.crop, Sources.sharded])
  func requantize(source: String) throws {
    try convert(source, to: folder.file("source.grist"))
    for recipe in [Recipe.Name.int8, .int4] {
      try convert(folder.file("source.grist"), to: folder.file("b.grist"), recipe)
      try convert(source, to: folder.file("a.grist"), recipe)
      let (a, b) = try (GristFile(path: folder.file("a.grist")), GristFile(path: folder.file("b.grist")))
      #expect(a.manifest.tensors.map(\.name) == b.manifest.tensors.map(\.name))
      for tensor in a.manifest.tensors {
        #expect(try payload(of: tensor.name, in: a) == payload(of: tensor.name, in: b), "\(tensor.name)")
        #expect(b.tensor(named: tensor.name)?.scheme == tensor.scheme)
        #expect(b.tensor(named: tensor.name)?.relativeError == tensor.relativeError)
      }
      #expect(a.manifest.provenance.fingerprint == b.manifest.provenance.fingerprint)
      #expect(a.manifest.provenance.sources == b.manifest.provenance.sources)
      #expect(a.manifest.files.map(\.name) == b.manifest.files.map(\.name))
    }
  }

  @Test("a file converted over itself is the new one, whole")
  func overItself() throws {
    let path = folder.file("x.grist")
    try convert(Sources.crop, to: path)
    try convert(path, to: path, .int8)
    #expect(try GristFile(path: path).manifest.provenance.recipe == "int8")
    #expect(folder.contents == ["x.grist"])
  }

  @Test("what was quantized is expanded when it is converted again, and said")
  func expand() throws {
    let original = values(48 * 96)
    let source = try checkpoint([("w", [48, 96], original)], in: folder)
    try convert(source, to: folder.file("8.grist"), .int8, groupSize: 32)
    let plan = try convert(folder.file("8.grist"), to: folder.file("f.grist"), .f32)
    #expect(
      plan.notes.contains(
        "some tensors are quantized already: what was lost then stays lost, and recorded errors become bounds"))
    let found = try floats("w", in: folder.file("f.grist"))
    #expect(zip(found, original).allSatisfy { abs($0 - $1) < 0.003 })
  }

  @Test("the fingerprint does not depend on how the tensors are spread over files")
  func sharding() throws {
    let whole = try Checkpoint(path: Sources.sharded)
    var writer = SafetensorsWriter()
    for tensor in whole.tensors.reversed() {
      try writer.add(tensor.name, tensor.elementType, shape: tensor.shape, bytes: tensor.bytes())
    }
    try folder.write("one/model.safetensors", writer.encoded.array)
    #expect(try Checkpoint(path: folder.file("one")).fingerprint() == whole.fingerprint())
  }

  @Test("one bit of one tensor, its name, type or shape changes the fingerprint")
  func fingerprint() throws {
    func fingerprint(_ name: String, _ shape: [Int], _ values: [Float]) throws -> String {
      try Checkpoint(path: checkpoint([(name, shape, values)], in: folder)).fingerprint()
    }
    let all = try [
      fingerprint("w", [2, 3], [1, 2, 3, 4, 5, 6]), fingerprint("v", [2, 3], [1, 2, 3, 4, 5, 6]),
      fingerprint("w", [3, 2], [1, 2, 3, 4, 5, 6]), fingerprint("w", [2, 3], [1, 2, 3, 4, 5, Float(6).nextUp]),
    ]
    #expect(Set(all).count == 4)
    #expect(all.allSatisfy { $0.count == 64 })
  }

  @Test("a vision tower from a folder of its own goes into the file, though both weight files have one name")
  func visionTower() throws {
    let whole = try Checkpoint(path: Sources.crop)
    var (rest, tower) = (SafetensorsWriter(), SafetensorsWriter())
    let prefix = "model.vision_tower.vision_tower."
    for tensor in whole.tensors {
      if tensor.name.hasPrefix(prefix) {
        try tower.add(
          String(tensor.name.dropFirst(prefix.count)), tensor.elementType, shape: tensor.shape, bytes: tensor.bytes())
      } else {
        try rest.add(tensor.name, tensor.elementType, shape: tensor.shape, bytes: tensor.bytes())
      }
    }
    try folder.write("rest/model.safetensors", rest.encoded.array)
    try folder.write("rest/config.json", readFile(Sources.crop + "/config.json").array)
    try folder.write("tower/model.safetensors", tower.encoded.array)
    try folder.write("tower/config.json", readFile(Sources.crop + "/vision_tower/config.json").array)
    try convert(folder.file("rest"), to: folder.file("x.grist"), visionTower: folder.file("tower"))
    let file = try GristFile(path: folder.file("x.grist"))
    for tensor in whole.tensors { #expect(try payload(of: tensor.name, in: file) == tensor.bytes().array) }
    #expect(try file.manifest.provenance.fingerprint == whole.fingerprint())
    #expect(
      file.manifest.provenance.sources.map(\.name) == ["model.safetensors", "vision_tower/model.safetensors"])
  }
}
