import GristCore
import GristSources
import TestSupport
import Testing

@Suite("Safetensors: what is accepted") struct SafetensorsReadingTests {
  private func open(_ bytes: [UInt8]) throws -> SafetensorsFile { try SafetensorsFile(Bytes(bytes), path: "m") }

  @Test(
    "every dtype",
    arguments: [
      ("F64", 8, ElementType.f64), ("F32", 4, .f32), ("F16", 2, .f16), ("BF16", 2, .bf16), ("I64", 8, .i64),
      ("I32", 4, .i32), ("I8", 1, .i8), ("U8", 1, .u8), ("BOOL", 1, .bool),
    ])
  func dtypes(name: String, width: Int, type: ElementType) throws {
    let header = "{" + entry("w", name, [3], 0, 3 * width) + "}"
    let file = try open(safetensors(header, data: 3 * width))
    #expect(file.tensors[0].elementType == type)
    #expect(file.tensors[0].byteCount == 3 * width)
    #expect(try file.tensors[0].bytes().array == (1...UInt8(3 * width)).map { $0 })
    #expect(try #require(file.tensors[0].offset) == 8 + header.utf8.count)
  }

  @Test("no tensors at all")
  func noTensors() throws {
    #expect(try open(safetensors("{}")).tensors.isEmpty)
    #expect(try open(safetensors(#"{"__metadata__":{}}"#)).tensors.isEmpty)
  }

  @Test("zero-size tensors, also between and after others")
  func zeroSize() throws {
    let header =
      "{"
      + [
        entry("a", "F32", [0, 4], 0, 0), entry("b", "U8", [2], 0, 2), entry("c", "F32", [3, 0], 2, 2),
        entry("d", "U8", [1], 2, 3), entry("e", "I64", [0], 3, 3),
      ].joined(separator: ",") + "}"
    let file = try open(safetensors(header, data: 3))
    #expect(file.tensors.count == 5)
    #expect(file.tensors.first { $0.name == "c" }?.elementCount == 0)
    #expect(try file.tensors.first { $0.name == "c" }?.bytes().count == 0)
    #expect(try file.tensors.first { $0.name == "d" }?.bytes().array == [3])
  }

  @Test("scalars")
  func scalars() throws {
    let file = try open(safetensors("{" + entry("s", "F32", [], 0, 4) + "}", data: 4))
    #expect(file.tensors[0].shape == [] && file.tensors[0].elementCount == 1)
  }

  @Test("tensors come in the order of their data, metadata as they are, the header verbatim")
  func order() throws {
    let header =
      #"{"__metadata__":{"format":"pt","x":""},"# + entry("z", "U8", [1], 1, 2) + "," + entry("a", "U8", [1], 0, 1)
      + "}  "
    let bytes = safetensors(header, data: 2)
    let file = try open(bytes)
    #expect(file.tensors.map(\.name) == ["a", "z"])
    #expect(file.metadata.map(\.name) == ["format", "x"] && file.metadata.map(\.value) == ["pt", ""])
    #expect(file.header.array == Array(bytes[..<(8 + header.utf8.count)]))
  }

  @Test(
    "a header's length may look like the first bytes of pickled or gzipped data",
    arguments: [0x280, 0x380, 0x480, 0x580, 0x8b1f])
  func misleadingLength(length: Int) throws {
    let header = "{" + entry("a", "F32", [1], 0, 4)
    let file = try open(
      safetensors(header + String(repeating: " ", count: length - header.utf8.count - 1) + "}", data: 4))
    #expect(file.tensors.map(\.name) == ["a"])
  }

  @Test("a range of a tensor's bytes, and a tensor under another name")
  func ranges() throws {
    let tensor = try open(safetensors("{" + entry("w", "U8", [5], 0, 5) + "}", data: 5)).tensors[0]
    #expect(try tensor.bytes(1..<3).array == [2, 3])
    #expect(try tensor.bytes(5..<5).count == 0)
    #expect(try tensor.renamed("v").bytes().array == [1, 2, 3, 4, 5])
    #expect(tensor.renamed("v").name == "v")
  }

  @Test("what the writer writes, the reader reads")
  func writer() throws {
    var writer = SafetensorsWriter(metadata: [("format", "pt")])
    try writer.add("b", shape: [2, 1], floats: [1.5, -2])
    try writer.add("a", .u8, shape: [3], bytes: Bytes([1, 2, 3]))
    try writer.add("empty", .f64, shape: [0], bytes: Bytes())
    let file = try SafetensorsFile(writer.encoded, path: "m")
    #expect(Set(file.tensors.map(\.name)) == ["b", "a", "empty"])
    #expect(try file.tensors.first { $0.name == "a" }?.bytes().array == [1, 2, 3])
    #expect(file.header.count % 8 == 0)
    #expect(throws: GristError.self) { try writer.add("c", .u8, shape: [4], bytes: Bytes([1])) }
    #expect(throws: GristError.self) { try writer.add("c", .u8, shape: [-1], bytes: Bytes([1])) }
  }
}
