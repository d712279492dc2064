import Foundation
import GristCore
import GristSources
import TestSupport
import Testing

/// Files of torch.save against what torch reads out of them (`Tools/reference/write_torch.py`).
@Suite("Pickled weights") struct TorchTests {
  private let folder = try! TemporaryFolder()

  static let sound = (try? Fixtures.json("torch/expected.json").object?.names) ?? []
  static let hostile = (try? Fixtures.json("torch/hostile.json").object?.names) ?? []

  private func refusal(_ path: String) -> GristError? {
    #expect(throws: GristError.self) { _ = try Checkpoint(path: path) }
  }

  @Test("names, shapes, types and bytes are those that torch reads", arguments: sound)
  func read(file: String) throws {
    let expected = try #require(Fixtures.json("torch/expected.json")[file]?.object)
    let checkpoint = try Checkpoint(path: Fixtures.path("torch/\(file)"))
    #expect(checkpoint.tensors.map(\.name).sorted() == expected.names.sorted())
    for tensor in checkpoint.tensors {
      let entry = try #require(expected[tensor.name])
      #expect(tensor.shape == entry["shape"]?.array?.compactMap(\.integer), "\(tensor.name)")
      let type = try #require(Self.types[entry["type"]?.string ?? ""], "\(tensor.name)")
      #expect(tensor.elementType == type, "\(tensor.name)")
      #expect(try sha256(tensor.bytes()) == entry["sha256"]?.string, "\(tensor.name)")
      // A byte at a time, which begins in the middle of elements and of rows.
      let whole = try tensor.bytes().array
      for start in stride(from: 0, to: tensor.byteCount, by: 7) {
        let range = start..<min(start + 5, tensor.byteCount)
        #expect(try tensor.bytes(range).array == Array(whole[range]), "\(tensor.name) \(range)")
      }
    }
  }

  private static let types: [String: ElementType] = [
    "float64": .f64, "float32": .f32, "float16": .f16, "bfloat16": .bf16, "int64": .i64, "int32": .i32, "int16": .i16,
    "int8": .i8, "uint8": .u8, "bool": .bool, "uint16": .u16, "uint32": .u32, "uint64": .u64, "float8_e4m3fn": .f8E4M3,
    "float8_e5m2": .f8E5M2,
  ]

  @Test("what no torch would write is refused, and not run", arguments: hostile)
  func refused(file: String) throws {
    let start = try #require(Fixtures.json("torch/hostile.json")[file]?.string)
    let path = Fixtures.path("torch/hostile/\(file)")
    guard !start.isEmpty else {
      #expect(try Checkpoint(path: path).tensors.map(\.shape) == [[2, 2]])
      return
    }
    let error = refusal(path)
    #expect(error?.code == .badData && error?.file == path)
    #expect(error?.what.hasPrefix(start) == true, "\(error?.description ?? "")")
  }

  @Test("a name that is not allowed is told, with its place")
  func named() {
    let error = refusal(Fixtures.path("torch/hostile/system.bin"))
    #expect(error?.found == "os.system" && error?.offset != nil)
    #expect(error?.advice == "save the weights as safetensors")
  }

  @Test("nesting without end, and operations without end, cost neither stack nor time")
  func bombs() throws {
    var deep: [UInt8] = [0x80, 2]
    deep += [UInt8](repeating: UInt8(ascii: "]"), count: 400_000)
    deep += [UInt8](repeating: UInt8(ascii: "a"), count: 399_999)
    deep.append(UInt8(ascii: "."))
    var many: [UInt8] = [0x80, 2]
    for _ in 0..<2_500_000 { many += [UInt8(ascii: "N"), UInt8(ascii: "0")] }
    many.append(UInt8(ascii: "."))
    for (pickled, start) in [(deep, "the file holds no dictionary"), (many, "pickled data of more than")] {
      try folder.write("bomb.bin", ZipWriter.archive([("a/data.pkl", pickled)]))
      #expect(refusal(folder.file("bomb.bin"))?.what.hasPrefix(start) == true)
    }
  }

  @Test("the form that torch wrote before 1.6 is told from damage", arguments: ["1.13.0a0", "2.15.0"])
  func oldForm(version: String) {
    let error = refusal(Fixtures.path("torch/old-form-\(version).bin"))
    #expect(error?.what == "a file in the form that torch wrote before 1.6")
    #expect(error?.advice?.hasPrefix("save it again") == true)
  }

  @Test("shards are listed by an index, as transformers writes it")
  func shards() throws {
    for file in ["module-2.15.0.bin", "types-2.15.0.bin"] {
      try folder.write(file, readFile(Fixtures.path("torch/\(file)")).array)
    }
    let names = try ["module-2.15.0.bin", "types-2.15.0.bin"].flatMap { file in
      try #require(Fixtures.json("torch/expected.json")[file]?.object).names.map { (JSONValue($0), file) }
    }
    var map = JSONObject()
    for (name, file) in names { map[name.string ?? ""] = JSONValue(file) }
    let index: JSONValue = ["metadata": ["total_size": 1], "weight_map": .object(map)]
    try folder.write("pytorch_model.bin.index.json", Array(index.text().utf8))
    let checkpoint = try Checkpoint(path: folder.path)
    #expect(checkpoint.tensors.count == names.count && checkpoint.weightFiles.count == 2)
    map["gone"] = "module-2.15.0.bin"
    let other: JSONValue = ["weight_map": .object(map)]
    try folder.write("pytorch_model.bin.index.json", Array(other.text().utf8))
    #expect(refusal(folder.path)?.what == "the index lists a tensor that its shard does not hold")
  }

  @Test("a dictionary inside of a training's is found, and what stands beside it is told")
  func nested() throws {
    let checkpoint = try Checkpoint(path: Fixtures.path("torch/nested-2.15.0.bin"))
    #expect(checkpoint.notes.contains("the weights are under \"state_dict\"; what stands beside them is left out"))
    #expect(checkpoint.notes.contains("note is no tensor and left out"))
  }
}

/// Zip archives of members as they are.
private enum ZipWriter {
  static func archive(_ members: [(name: String, bytes: [UInt8])]) -> [UInt8] {
    var (data, directory) = ([UInt8](), [UInt8]())
    for (name, bytes) in members {
      let name = Array(name.utf8)
      var common: [UInt8] = little(20, 2)
      common += little(0, 8)
      common += little(Int(checksum(bytes)), 4)
      common += little(bytes.count, 4)
      common += little(bytes.count, 4)
      common += little(name.count, 2)
      directory += little(0x0201_4b50, 4) + little(20, 2)
      directory += common
      directory += little(0, 12) + little(data.count, 4)
      directory += name
      data += little(0x0403_4b50, 4)
      data += common
      data += little(0, 2)
      data += name
      data += bytes
    }
    var end = little(0x0605_4b50, 4) + little(0, 4)
    end += little(members.count, 2) + little(members.count, 2)
    end += little(directory.count, 4) + little(data.count, 4) + little(0, 2)
    return data + directory + end
  }

  private static func little(_ value: Int, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  private static func checksum(_ bytes: [UInt8]) -> UInt32 {
    let table: [UInt32] = (0..<256).map { index in
      var value = UInt32(index)
      for _ in 0..<8 { value = value & 1 == 1 ? 0xedb8_8320 ^ (value >> 1) : value >> 1 }
      return value
    }
    var sum = UInt32.max
    for byte in bytes { sum = (sum >> 8) ^ table[Int(UInt8(truncatingIfNeeded: sum) ^ byte)] }
    return ~sum
  }
}
