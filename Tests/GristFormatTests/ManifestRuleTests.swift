import GristCore
import GristFormat
import TestSupport
import Testing

@Suite("A .grist manifest: each broken rule is refused by name") struct ManifestRuleTests {
  private func refusal(
    _ old: String, _ new: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> GristError {
    var patch = Patch()
    try patch.replace(old, new)
    return try patch.refusal(sourceLocation: sourceLocation)
  }

  private static let grouped =
    #"{"kind":"grouped","bits":8,"codes":"symmetric","rotation":"none","group_axis":1,"group_size":32,"scale":"f16","scale_exponent":-3,"layout":"tile16"}"#

  @Test("the manifest's text, to the byte")
  func text() {
    let expected = [
      #"{"minor":0,"requires":[],"provenance":{"tool":"test","architecture":"unknown","recipe":"source","overrides":["a=f16"],"#,
      #""packing":"zstd","fingerprint":"00ff","sources":[{"name":"model.safetensors","bytes":9,"sha256":"ab"}],"#,
      #""lineage":[{"tool":"test","recipe":"source","lossy":false}],"ignored_keys":[]},"#,
      #""segments":[{"name":"one","first":0,"count":5}],"#,
      #""tensors":[{"name":"a","source_name":"a","shape":[50],"scheme":{"kind":"plain","element":"u8"},"source_element":"f32","#,
      #""relative_error":0.25,"chunks":{"first":0,"count":2,"units":30}},"#,
      #"{"name":"b","source_name":"b","shape":[3,40],"scheme":\#(Self.grouped),"#,
    ]
    #expect(Patch().manifest.hasPrefix(expected.joined()))
  }

  /// What using tensor `name` ends with, after a change to the manifest; everything else is read as before.
  private func unusable(_ old: String, _ new: String, _ name: String) throws -> GristError {
    var patch = Patch()
    try patch.replace(old, new)
    return try patch.opened { file in
      for record in file.manifest.tensors where record.name != name {
        #expect(try payload(of: record, in: file) == SmallFile.contents[record.name])
      }
      let record = try #require(file.tensor(named: name))
      #expect(record.scheme.name.hasPrefix("unknown ("))
      let error = try #require(throws: GristError.self) { try payload(of: record, in: file) }
      #expect(error.code == .badData && error.file == file.path && error.tensor == name)
      return error
    }
  }

  @Test(
    "a scheme of unknown fields makes its tensor unusable, by name, and nothing else",
    arguments: [
      (#""kind":"grouped""#, #""kind":"entropy""#, "kind", "entropy"),
      (#""codes":"symmetric""#, #""codes":"entropy""#, "codes", "entropy"),
      (#""rotation":"none""#, #""rotation":"dct8""#, "rotation", "dct8"),
      (#""scale":"f16""#, #""scale":"e8m0""#, "scale", "e8m0"),
      (#""layout":"tile16""#, #""layout":"tile32""#, "layout", "tile32"),
      (#""element":"u8""#, #""element":"f8""#, "element", "f8"),
    ])
  func unknownScheme(old: String, new: String, field: String, found: String) throws {
    let error = try unusable(old, new, field == "element" ? "a" : "b")
    #expect(error.what == "a storage scheme this version does not know: \"\(field)\"")
    #expect(error.found == found)
    #expect(error.advice == "use a newer gristmill")
  }

  @Test("a scheme with a field more than is known")
  func unknownSchemeField() throws {
    let error = try unusable(#""layout":"tile16""#, #""layout":"tile16","zero_points":"u8""#, "b")
    #expect(error.what == "\"tensors[1].scheme.zero_points\" is not known to this version")
    #expect(error.found == "\"u8\"")
    _ = try unusable(#""element":"u8""#, #""element":"u8","bits":3"#, "a")
  }

  @Test(
    "a scheme of unknown width, group or axis",
    arguments: [
      (#""bits":8"#, #""bits":3"#, "3 bits in groups of 32"), (#""bits":8"#, #""bits":16"#, "16 bits in groups of 32"),
      (#""group_size":32"#, #""group_size":48"#, "8 bits in groups of 48"),
      (#""group_axis":1"#, #""group_axis":0"#, "8 bits in groups of 32"),
    ])
  func unknownWidth(old: String, new: String, found: String) throws {
    let error = try unusable(old, new, "b")
    #expect(error.what == "a storage scheme this version does not know")
    #expect(error.found == found)
  }

  @Test(
    "numbers of a scheme beyond reason",
    arguments: [
      ("bits", "8", "0"), ("bits", "8", "\"8\""), ("scale_exponent", "-3", "-121"), ("scale_exponent", "-3", "0.5"),
      ("group_size", "32", "null"),
    ])
  func schemeNumbers(field: String, old: String, new: String) throws {
    let error = try unusable("\"\(field)\":\(old)", "\"\(field)\":\(new)", "b")
    #expect(error.what.hasPrefix("\"tensors[1].scheme.\(field)\" must be a whole number"))
  }

  @Test("a scheme that is no object")
  func noScheme() throws {
    #expect(
      try refusal(#""scheme":{"kind":"plain","element":"u8"}"#, #""scheme":"u8""#).what
        == "\"tensors[0].scheme\" must be an object")
  }

  @Test(
    "a member less, or of the wrong type, anywhere",
    arguments: [
      (#""tool":"test","arch"#, #""arch"#, #""provenance.tool" must be a string"#),
      (#""packing":"zstd""#, #""packing":"lz4""#, #""provenance.packing" must be zstd or raw"#),
      (#""overrides":["a=f16"]"#, #""overrides":[1]"#, #""provenance.overrides" must be an array of strings"#),
      (#""sha256":"ab""#, #""md5":"ab""#, #""provenance.sources[0].sha256" must be a string"#),
      (#""minor":0"#, #""minor":-1"#, #""minor" must be a whole number from 0 to 4294967295"#),
      (#""requires":[]"#, #""requires":{}"#, #""requires" must be an array of strings"#),
      (#"{"name":"one","first""#, #"{"first""#, #""segments[0].name" must be a string"#),
      (
        #""shape":[50]"#, #""shape":[-50]"#,
        #""tensors[0].shape" must be an array of whole numbers from 0 to 9223372036854775807"#
      ),
      (
        #""shape":[50]"#, #""shape":50"#,
        #""tensors[0].shape" must be an array of whole numbers from 0 to 9223372036854775807"#
      ),
      (
        #""units":30"#, #""units":0"#,
        #""tensors[0].chunks.units" must be a whole number from 1 to 4294967295"#
      ),
      (#""sha256":"cd","chunks""#, #""chunks""#, #""files[0].sha256" must be a string"#),
    ])
  func members(old: String, new: String, what: String) throws {
    let error = try refusal(old, new)
    #expect(error.what == what)
    #expect(error.offset == UInt64(Patch().manifestOffset))
  }

  @Test(
    "members of later versions are passed over, anywhere",
    arguments: [
      (#""tool":"test","arch"#, #""tool":"test","later":1,"arch"#), (#""segments":["#, #""later":1,"segments":["#),
      (#""sha256":"ab""#, #""sha256":"ab","later":{}"#), (#""units":30"#, #""units":30,"later":null"#),
      (#""minor":0"#, #""minor":12"#), (#""sha256":"cd""#, #""later":[],"sha256":"cd""#),
    ])
  func laterMembers(old: String, new: String) throws {
    var patch = Patch()
    try patch.replace(old, new)
    let folder = try TemporaryFolder()
    #expect(try contents(ofFile: folder.write("x.grist", patch.bytes)) == SmallFile.contents)
  }

  @Test("what a file requires and this version does not know is named")
  func requires() throws {
    let error = try refusal(#""requires":[]"#, #""requires":["sparse"]"#)
    #expect(error.what == "the file asks for something that this version does not know")
    #expect(error.found == "sparse" && error.advice == "use a newer gristmill")
  }

  @Test("an unknown source type")
  func sourceElement() throws {
    var patch = Patch()
    patch.setManifest(patch.manifest.replacing(#""source_element":"f32""#, with: #""source_element":"f24""#))
    #expect(try patch.refusal().what == "\"tensors[0].source_element\" must be an element type")
  }

  @Test("a manifest that is not JSON, with the byte", arguments: ["", "{", "[]", "{}x", "{\"a\":1,\"a\":1}"])
  func notJSON(text: String) throws {
    var patch = Patch()
    patch.setManifest(text)
    let error = try patch.refusal()
    #expect(error.what.hasPrefix(text == "[]" ? "a JSON object was expected" : "bad JSON: "))
    #expect(try #require(error.offset) >= UInt64(patch.manifestOffset))
    #expect(try #require(error.offset) <= UInt64(patch.manifestOffset + text.utf8.count))
  }

  @Test("a manifest with nothing in it")
  func empty() throws {
    var patch = Patch()
    patch.setManifest(#"{"minor":0,"requires":[]}"#)
    #expect(try patch.refusal().what == "\"provenance\" must be an object")
    patch.setManifest("{}")
    #expect(try patch.refusal().what == "\"requires\" must be an array of strings")
  }

  @Test("a file without a lineage counts as lossy")
  func noLineage() throws {
    var patch = Patch()
    try patch.replace(#","lineage":[{"tool":"test","recipe":"source","lossy":false}]"#, "")
    #expect(try patch.opened { $0.manifest.provenance.isLossy })
    #expect(try !Patch().opened { $0.manifest.provenance.isLossy })
  }

  @Test("duplicate tensor name")
  func duplicateTensor() throws {
    #expect(try refusal(#"{"name":"z""#, #"{"name":"a""#).what == "two tensors have the same name")
  }

  @Test("duplicate file name")
  func duplicateFile() throws {
    let first = #"{"name":"config.json","bytes":0,"sha256":"","chunks":{"first":0,"count":0,"units":1}}"#
    #expect(try refusal(#""files":["#, #""files":[\#(first),"#).what == "two files have the same name")
  }

  @Test(
    "shape overflow",
    arguments: ["[9223372036854775807,9223372036854775807]", "[4294967296,4294967296]", "[9223372036854775807,4,0]"])
  func shapeOverflow(shape: String) throws {
    let error = try refusal(#""shape":[3,40]"#, "\"shape\":" + shape)
    #expect(error.what == "its scheme cannot hold its shape")
    #expect(error.tensor == "b")
  }

  @Test(
    "a shape that a grouped scheme cannot hold: no matrix, or empty", arguments: ["[120]", "[]", "[0,40]", "[3,0]"])
  func shapeNotMatrix(shape: String) throws {
    #expect(try refusal(#""shape":[3,40]"#, "\"shape\":" + shape).what == "its scheme cannot hold its shape")
  }

  @Test(
    "a shape of more than its chunks hold",
    arguments: [
      ("[50]", "[51]"), ("[50]", "[30]"), ("[50]", "[61]"), ("[50]", "[9223372036854775807]"), ("[50]", "[0]"),
      ("[50]", "[]"), ("[3,40]", "[17,40]"), ("[3,40]", "[3,41]"), ("[0,3]", "[1,3]"),
    ])
  func lyingShape(old: String, new: String) throws {
    let error = try refusal("\"shape\":" + old, "\"shape\":" + new)
    #expect(error.what.contains("what its shape asks for") || error.what.contains("what the shape asks for"))
    #expect(["a", "b", "z"].contains(error.tensor ?? ""))
  }

  @Test("a chunk that belongs to two")
  func shared() throws {
    // p takes b's chunk; its own is left alone.
    let error = try refusal(#""first":2,"count":1"#, #""first":1,"count":1"#)
    #expect(error.what == "it shares a chunk with another")
    #expect(error.tensor == "b")
    #expect(error.found == "chunk 1")
  }

  @Test("a chunk that belongs to nothing")
  func orphaned() throws {
    var patch = Patch()
    let start = try #require(patch.manifest.range(of: #""files":["#))
    patch.setManifest(String(patch.manifest[..<start.upperBound]) + "]}")
    let error = try patch.refusal()
    #expect(error.what == "a chunk belongs to nothing")
    #expect(error.found == "chunk 4")
    #expect(error.offset == patch.chunk(4, .offset))
  }

  @Test("chunks that are not there", arguments: [(4, 2), (5, 1), (4_294_967_295, 1), (4, 4_294_967_295)])
  func notThere(first: Int, count: Int) throws {
    let error = try refusal(#""first":4,"count":1"#, "\"first\":\(first),\"count\":\(count)")
    #expect(error.what == "it names chunks that are not there")
    #expect(error.tensor == "config.json")
  }

  @Test(
    "segments with gaps, overlaps, nothing in them, or beyond the chunks",
    arguments: [
      ("1", "4", "segment \"one\" does not follow the one before it"),
      ("0", "0", "segment \"one\" does not follow the one before it"),
      ("0", "6", "segment \"one\" does not follow the one before it"),
      ("0", "4294967295", "segment \"one\" does not follow the one before it"),
      ("0", "4", "chunks belong to no segment"),
    ])
  func segments(first: String, count: String, what: String) throws {
    #expect(try refusal(#""first":0,"count":5"#, "\"first\":\(first),\"count\":\(count)").what == what)
  }

  @Test("a segment that starts where chunks are not on 64 KiB")
  func segmentAlignment() throws {
    let error = try refusal(
      #"{"name":"one","first":0,"count":5}"#,
      #"{"name":"one","first":0,"count":2},{"name":"two","first":2,"count":3}"#)
    #expect(error.what == "chunk 2: it does not start where it must, at 131072")
  }
}
