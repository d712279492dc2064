import Foundation
import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristSources
import TestSupport
import Testing

/// llama.cpp itself is asked by Tools/reference/check_gguf.py.
@Suite("GGUF") struct GGUFTests {
  let folder = try! TemporaryFolder()

  /// What a GGUF file says, as far as it is written by us.
  private struct Reader {
    let bytes: [UInt8]
    private var place = 0
    var metadata: [String: String] = [:]
    var tensors: [String: (type: UInt32, shape: [Int], data: ArraySlice<UInt8>)] = [:]

    init(_ path: String) throws {
      bytes = try readFile(path).array
      #expect(Array(bytes[..<4]) == Array("GGUF".utf8))
      place = 4
      #expect(number(4) == 3)
      let (tensorCount, valueCount) = (number(8), number(8))
      for _ in 0..<valueCount {
        let name = text()
        metadata[name] = value(number(4))
      }
      var found: [(String, UInt32, [Int], Int)] = []
      for _ in 0..<tensorCount {
        let name = text()
        let extents = number(4)
        found.append((name, 0, (0..<extents).map { _ in number(8) }.reversed(), 0))
        found[found.count - 1].1 = UInt32(number(4))
        found[found.count - 1].3 = number(8)
      }
      let start = (place + 31) / 32 * 32
      for (name, type, shape, offset) in found {
        let elements = shape.reduce(1, *)
        let count = [0: elements * 4, 1: elements * 2, 8: elements / 32 * 34, 30: elements * 2][type] ?? -1
        #expect(offset % 32 == 0 && start + offset + count <= bytes.count)
        tensors[name] = (type, shape, bytes[start + offset..<start + offset + count])
      }
    }

    private mutating func number(_ width: Int) -> Int {
      defer { place += width }
      return (0..<width).reduce(0) { $0 | Int(bytes[place + $1]) << (8 * $1) }
    }

    private mutating func text() -> String {
      let count = number(8)
      defer { place += count }
      return String(decoding: bytes[place..<place + count], as: UTF8.self)
    }

    private mutating func value(_ type: Int) -> String {
      switch type {
      case 4, 5, 6: return "\(number(4))"
      case 7: return "\(number(1))"
      case 8: return text()
      default:
        let (kind, count) = (number(4), number(8))
        for _ in 0..<count { _ = value(kind) }
        return "\(count) items"
      }
    }

    /// A tensor's values: f32, or Q8_0.
    func values(_ name: String) throws -> [Float] {
      let tensor = try #require(tensors[name])
      if tensor.type == 0 { return floats(Bytes(Array(tensor.data)), .f32) }
      return stride(from: tensor.data.startIndex, to: tensor.data.endIndex, by: 34).flatMap { start in
        let scale = floats(Bytes(Array(tensor.data[start..<start + 2])), .f16)[0]
        return tensor.data[start + 2..<start + 34].map { Float(Int8(bitPattern: $0)) * scale }
      }
    }
  }

  private func export(
    _ source: String, _ recipe: Recipe.Name, set: [String] = [], as element: GGUFExport.Element = .source
  )
    throws -> (file: GristFile, gguf: Reader)
  {
    try convert(Fixtures.path(source), to: folder.file("m.grist"), recipe, groupSize: 64, set: set)
    let file = try GristFile(path: folder.file("m.grist"))
    _ = try GGUFExport(file, as: element).run(to: folder.file("out"))
    defer { try? FileManager.default.removeItem(atPath: folder.file("out")) }
    return (file, try Reader(folder.file("out/model.gguf")))
  }

  private func expanded(_ name: String, _ file: GristFile) throws -> (shape: [Int], values: [Float]) {
    let tensor = try #require(file.sourceTensors().first { $0.name == name })
    return (tensor.shape, floats(try tensor.bytes(), tensor.elementType))
  }

  @Test(
    "codes and scales of matrices that were not turned are Q8_0's own", arguments: ["int4", "int4-uniform"])
  func exact(scheme: String) throws {
    let names = "model.layers.0.(self_attn.[qv]_proj|mlp.gate_proj).weight"
    let overrides = ["\(names)=\(scheme):64"]
    let (file, gguf) = try export("conformance/small-f32", .source, set: overrides)
    for (theirs, ours) in [("blk.0.attn_v", "self_attn.v_proj"), ("blk.0.ffn_gate", "mlp.gate_proj")] {
      let name = "model.layers.0.\(ours).weight"
      let record = try #require(file.tensor(named: name))
      guard case .grouped(let grouped) = record.scheme else { throw GristError(.badData, "not quantized") }
      #expect(grouped.coding.rotation == .none && (grouped.coding.table != nil) == (scheme == "int4"))
      #expect(gguf.tensors[theirs + ".weight"]?.type == 8)
      #expect(try gguf.values(theirs + ".weight") == expanded(name, file).values, "\(name)")
    }
    // A query's rows stand in another order: of each head row i beside row i + half.
    let name = "model.layers.0.self_attn.q_proj.weight"
    let (shape, values) = try expanded(name, file)
    let configuration = try JSONReader(path: Fixtures.path("conformance/small-f32/config.json"))
    let head = shape[0] / (try configuration.integer("num_attention_heads", in: 1...1024))
    let wanted = (0..<shape[0]).flatMap { row -> ArraySlice<Float> in
      let from = row / head * head + row % head % 2 * (head / 2) + row % head / 2
      return values[from * shape[1]..<(from + 1) * shape[1]]
    }
    #expect(try gguf.values("blk.0.attn_q.weight") == wanted)
  }

  @Test("what is not quantized keeps its type, vectors are f32, and what is asked for is given")
  func types() throws {
    let (_, source) = try export("checkpoints/bf16-sharded", .source)
    #expect(source.tensors["blk.0.ffn_up.weight"]?.type == 30 && source.tensors["blk.0.attn_norm.weight"]?.type == 0)
    #expect(source.metadata["general.architecture"] == "llama" && source.metadata["tokenizer.ggml.model"] == "llama")
    for (element, type) in [(GGUFExport.Element.f32, 0), (.f16, 1), (.bf16, 30), (.q8, 8)]
      as [(GGUFExport.Element, UInt32)]
    {
      let (file, gguf) = try export("checkpoints/bf16-sharded", .int4, as: element)
      #expect(gguf.tensors["blk.0.ffn_up.weight"]?.type == type)
      #expect(gguf.tensors["output_norm.weight"]?.type == 0)
      guard type == 8 || type == 0 else { continue }
      let (_, values) = try expanded("model.layers.0.mlp.up_proj.weight", file)
      let given = try gguf.values("blk.0.ffn_up.weight")
      let largest = values.map(abs).max() ?? 0
      #expect(zip(values, given).allSatisfy { abs($0 - $1) <= largest / 200 })
    }
  }

  @Test("a model of no language, and a tokenizer that GGUF has no words for, are refused, and nothing is left")
  func refused() throws {
    try convert(Fixtures.path("keras-hub/clip"), to: folder.file("m.grist"))
    #expect(throws: GristError.self) {
      try GGUFExport(GristFile(path: folder.file("m.grist"))).run(to: folder.file("out"))
    }
    #expect(folder.contents == ["m.grist"])
  }
}
