import GristCore
import GristKernels
import GristModel
import GristSources
import GristVerification
import TestSupport
import Testing

@Suite("In what two models or records differ") struct DifferenceTests {
  let folder: TemporaryFolder
  let pool: ThreadPool

  init() throws {
    folder = try TemporaryFolder()
    pool = try ThreadPool(threads: 2)
  }

  private typealias Entry = (name: String, type: ElementType, shape: [Int], bytes: [UInt8])

  /// A checkpoint of an unknown architecture.
  private func source(_ name: String, _ entries: [Entry]) throws -> Source {
    var writer = SafetensorsWriter()
    for entry in entries { try writer.add(entry.name, entry.type, shape: entry.shape, bytes: Bytes(entry.bytes)) }
    return try Source.open(path: folder.write(name + ".safetensors", writer.encoded.array))
  }

  private func f32(_ name: String, _ shape: [Int], _ values: [Float]) -> Entry {
    (name, .f32, shape, values.withUnsafeBytes { [UInt8]($0) })
  }

  private func difference(_ a: [Entry], _ b: [Entry]) throws -> ModelDifference {
    try ModelDifference(source("a", a), source("b", b), pool: pool)
  }

  private func values(_ a: Entry, _ b: Entry) throws -> TensorDifference {
    try #require(difference([a], [b]).tensors.first?.values)
  }

  @Test("largest difference, relative error, cosine and the worst row")
  func measures() throws {
    let found = try values(f32("w", [2, 2], [3, 4, 1, 0]), f32("w", [2, 2], [3, 5, 1, 0.5]))
    #expect(!found.isEqual && found.largest == 1)
    #expect(abs(found.relativeError - (1.25 / 26.0).squareRoot()) < 1e-15)
    #expect(abs(found.cosine - 30 / (26.0 * 35.25).squareRoot()) < 1e-15)
    #expect(found.worstRow?.index == 1 && found.worstRow?.relativeError == 0.5)
    let vector = try values(f32("w", [2], [3, 4]), f32("w", [2], [3, 4]))
    #expect(vector.isEqual && vector.relativeError == 0 && vector.cosine == 1 && vector.worstRow == nil)
    let zeros = try values(f32("w", [2], [0, 0]), f32("w", [2], [0, 1]))
    #expect(zeros.relativeError == .infinity && zeros.cosine == 0 && zeros.largest == 1)
    #expect(try values(f32("w", [0, 2], []), f32("w", [0, 2], [])).isEqual)
  }

  @Test("values are compared, not types; what is no number meets its like")
  func types() throws {
    // 1 and -2 in bf16, which is the upper half of f32.
    let bf16 = Entry("w", .bf16, [2], [0x80, 0x3f, 0x00, 0xc0])
    let same = try difference([f32("w", [2], [1, -2])], [bf16])
    #expect(same.tensors[0].values?.isEqual == true && same.differing().isEmpty)
    #expect(same.tensors[0].first?.scheme == "f32" && same.tensors[0].second?.scheme == "bf16")
    #expect(try values(f32("w", [2], [.nan, .infinity]), f32("w", [2], [.nan, .infinity])).isEqual)
    let odd = try values(f32("w", [2], [1, .nan]), f32("w", [2], [1, 2]))
    #expect(!odd.isEqual && odd.largest.isNaN && odd.relativeError.isNaN)
    // Beyond what f64 tells apart, too.
    func i64(_ value: Int64) -> Entry { ("w", .i64, [1], withUnsafeBytes(of: value) { [UInt8]($0) }) }
    #expect(try !values(i64(1 << 60), i64(1 << 60 + 1)).isEqual)
    #expect(try values(i64(7), i64(4)).largest == 3)
    let f8 = try values(("w", .f8E4M3, [2], [1, 2]), ("w", .f8E4M3, [2], [1, 3]))
    #expect(!f8.isEqual && f8.largest.isNaN)
    #expect(try values(("w", .f4, [2], [1]), ("w", .f4, [2], [1])).isEqual)
  }

  @Test("what only one side has, and other shapes, differ at any tolerance, and come first")
  func others() throws {
    let found = try difference(
      [f32("a", [1], [1]), f32("b", [1], [1]), f32("c", [2], [1, 1]), f32("d", [1], [1])],
      [f32("a", [1], [1.01]), f32("c", [1], [1]), f32("d", [1], [1]), f32("e", [1], [1])])
    #expect(found.tensors.map(\.name) == ["a", "b", "c", "d", "e"])
    #expect(found.differing().map(\.name) == ["b", "c", "e", "a"])
    #expect(found.differing(beyond: 0.02).map(\.name) == ["b", "c", "e"])
    #expect(found.tensors[1].second == nil && found.tensors[4].first == nil && found.tensors[2].values == nil)
    #expect(found.json(tolerance: 2)["within_tolerance"] == false)
  }

  @Test("a file is as far from its checkpoint as it says itself")
  func file() throws {
    let checkpoint = try Source.open(path: Fixtures.conformanceCheckpoint)
    let path = try converted(
      checkpoint.path, .int4, to: folder.file("m.grist"), packing: .zstd, pool: pool)
    let file = try Source.open(path: path)
    let found = try ModelDifference(checkpoint, file, pool: pool)
    #expect(found.tensors.count == 100)
    for tensor in found.tensors {
      let recorded = try #require(file.file?.tensor(named: tensor.name)).relativeError
      #expect(abs((tensor.values?.relativeError ?? 1) - recorded) <= 1e-6 * recorded, "\(tensor.name)")
    }
    #expect(try ModelDifference(file, file, pool: pool).differing().isEmpty)
  }

  @Test("records: choices, tokens and logits of the questions that both were asked")
  func records() throws {
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    var options = Recording.Options()
    (options.maxNewTokens, options.triesCoarserArithmetic) = (3, false)
    let questions = try VerificationTests.probes()
    let record = try Recording(
      source, questions: questions, options: options, compute: Compute(pool: pool, activations: .f32)
    ).run()
    #expect(try RecordDifference(record, record).differing.isEmpty)
    func other(_ item: ReferenceRecord.Case, tokens: [Int], granularity: Granularity?) -> ReferenceRecord.Case {
      ReferenceRecord.Case(
        question: item.question, inputIDs: item.inputIDs, decision: item.decision, granularity: granularity,
        sequenceLength: item.sequenceLength, tokens: tokens,
        logits: item.logits.map { KeptLogits($0.values.map { $0 + 0.5 }) })
    }
    let (first, second) = (record.cases[0], record.cases[1])
    let changed = ReferenceRecord(
      fingerprint: "other", source: "s",
      cases: [
        other(second, tokens: second.tokens, granularity: .uniform(36)),
        other(first, tokens: [first.tokens[0], first.tokens[1] + 1, 5], granularity: first.granularity),
      ])
    let found = try RecordDifference(record, changed)
    #expect(!found.haveSameFingerprint && found.cases.count == 3 && found.differing.count == 3)
    #expect(found.cases[0].sharedTokens == 1 && abs(found.cases[0].largestLogitDifference - 0.5) < 1e-4)
    // What came before a first token that differs is compared, too.
    let apart = ReferenceRecord(
      fingerprint: "other", source: "s",
      cases: [other(first, tokens: first.tokens.map { $0 + 1 }, granularity: first.granularity)])
    let start = try RecordDifference(ReferenceRecord(fingerprint: "f", source: "s", cases: [first]), apart).cases[0]
    #expect(start.sharedTokens == 0 && abs(start.largestLogitDifference - 0.5) < 1e-4)
    #expect(found.cases[1].sharedTokens == 3 && abs(found.cases[1].meanDivergence) < 1e-5)
    #expect(found.cases[2].second == nil && found.json["same_weights"] == false)
  }
}
