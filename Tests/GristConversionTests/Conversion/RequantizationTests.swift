import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristSources
import TestSupport
import Testing

@Suite("From one .grist to another") struct RequantizationTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test(
    "repacking keeps every scheme, payload, recorded error and the provenance",
    arguments: [Recipe.Name.int4, .int4All, .bf16], [Packing.zstd, .raw])
  func repack(recipe: Recipe.Name, packing: Packing) throws {
    try convert(Sources.crop, to: folder.file("a.grist"), recipe)
    let source = try GristFile(path: folder.file("a.grist"))
    try convert(folder.file("a.grist"), to: folder.file("b.grist"), .source, packing: packing)
    let copy = try GristFile(path: folder.file("b.grist"))
    #expect(copy.manifest.provenance.fingerprint == source.manifest.provenance.fingerprint)
    #expect(copy.manifest.provenance.sources == source.manifest.provenance.sources)
    for tensor in source.manifest.tensors {
      let other = try #require(copy.tensor(named: tensor.name))
      #expect(other.scheme == tensor.scheme && other.shape == tensor.shape)
      #expect(other.relativeError == tensor.relativeError && other.origin.element == tensor.origin.element)
      #expect(try payload(of: tensor.name, in: copy) == payload(of: tensor.name, in: source))
      if packing == .raw { #expect(other.chunks.range.allSatisfy { copy.isRaw(chunk: $0) }) }
    }
  }

  @Test("a tensor that has its scheme already is copied, not quantized a second time")
  func sameScheme() throws {
    try convert(Sources.crop, to: folder.file("4.grist"), .int4)
    try convert(folder.file("4.grist"), to: folder.file("4again.grist"), .int4)
    let (a, b) = try (GristFile(path: folder.file("4.grist")), GristFile(path: folder.file("4again.grist")))
    for tensor in a.manifest.tensors { #expect(b.tensor(named: tensor.name)?.relativeError == tensor.relativeError) }
    for tensor in a.manifest.tensors {
      #expect(try payload(of: tensor.name, in: a) == payload(of: tensor.name, in: b))
    }
  }

  @Test("what is quantized twice records a bound on the error against the very source")
  func compounded() throws {
    let original = values(64 * 128)
    let source = try checkpoint([("w", [64, 128], original)], in: folder)
    try convert(source, to: folder.file("8.grist"), .int8)
    try convert(folder.file("8.grist"), to: folder.file("4.grist"), .int4All)
    let record = try #require(GristFile(path: folder.file("4.grist")).tensor(named: "w"))
    let error = differenceSums(try floats("w", in: folder.file("4.grist")), from: original).relativeError
    #expect(error <= record.relativeError)
    #expect(record.relativeError < error * 1.3)
    #expect(record.origin.element == .f32)
  }
}
