import GristCore
import GristImaging
import GristKernels
import GristModel
import GristSources
import GristVerification
import TestSupport
import Testing

@Suite("How firmly the reference holds its choices") struct ChoiceFloorTests {
  let folder: TemporaryFolder
  let pool: ThreadPool
  let source: Source
  let cases: [ReferenceRecord.Case]

  init() throws {
    folder = try TemporaryFolder()
    pool = try ThreadPool(threads: 2)
    source = try Source.open(path: Fixtures.conformanceCheckpoint)
    cases = try source.model(compute: Compute(pool: pool, activations: .f32)).record(
      VerificationTests.probes(), maxNewTokens: 1)
  }

  @Test("values are rounded to the nearest that the type holds, ties to even")
  func rounding() {
    let bfloat = Compute.Rounding.bfloat16
    let half = Compute.Rounding.float16
    #expect(bfloat(1 + 0x1p-8) == 1 && bfloat(1 + 0x1.8p-7) == 1 + 0x1p-6 && bfloat(-3.14159) == -3.140625)
    #expect(half(1 + 0x1p-11) == 1 && half(1 + 0x1.8p-10) == 1 + 0x1p-9 && half(70_000) == .infinity)
    #expect(Compute.Rounding.none(3.14159) == 3.14159 && bfloat(.nan).isNaN)
  }

  @Test("the result of every operation is rounded", arguments: [Compute.Rounding.bfloat16, .float16])
  func roundedOperations(_ rounding: Compute.Rounding) throws {
    let compute = Compute(pool: pool, activations: .f32, rounding: rounding)
    func matrix(_ factor: Int) -> FloatMatrix {
      FloatMatrix(
        rows: 3, columns: 8,
        values: (0..<24).map { (index: Int) -> Float in Float((index * factor) % 17) / 13 - 0.6 })
    }
    let weight = [Float](repeating: 1.1, count: 8)
    let square = (0..<64).map { (index: Int) -> Float in Float((index * 7) % 11) / 9 - 0.5 }
    let weights = try #require(
      PlainWeights(
        rows: 8, columns: 8, bytes: Bytes(square.withUnsafeBytes { Array($0) }), elementType: .f32))
    var results: [String: FloatMatrix] = [
      "linear": compute.linear(matrix(5), weights),
      "rmsNorm": compute.rmsNorm(matrix(5), weight: weight, epsilon: 1e-5),
      "layerNorm": compute.layerNorm(matrix(5), weight: weight, bias: weight, epsilon: 1e-5),
    ]
    for name in ["add", "gelu", "siluMultiply"] { results[name] = matrix(5) }
    if let x = results["add"] { compute.add(matrix(3), to: x) }
    if let x = results["gelu"] { compute.apply(.gelu, to: x) }
    if let x = results["siluMultiply"] { compute.siluMultiply(gate: x, up: matrix(3)) }
    let layout = SequenceLayout.consecutive(sequences: 1, length: 3)
    let rows = [5, 3, 7].map { HeadRows(matrix($0), dimension: 8) }
    results["attention"] = compute.attention(
      queries: rows[0], keys: rows[1], values: rows[2],
      heads: AttentionHeads(count: 1, keyValueCount: 1, dimension: 8), queryLayout: layout, keyLayout: layout)
    for (name, result) in results {
      for row in 0..<result.rows { #expect(result.row(row).allSatisfy { rounding($0) == $0 }, "\(name)") }
    }
  }

  @Test("every result of a rounded model is a value of the type, from the tower to the router's logits")
  func roundedModel() throws {
    let question = try #require(cases.first?.question)
    for rounding in [Compute.Rounding.bfloat16, .float16] {
      let model = try VisionLanguageModel(
        RoundedParameters(source.parameters(pool: pool), rounding),
        compute: Compute(pool: pool, activations: .f32, rounding: rounding))
      let prepared = try model.prepare(
        Conversation(message: question.prompt, hasImage: true),
        image: model.encode(RGBImage(encoded: try #require(question.pictures.first?.bytes), name: "picture")))
      let decision = try #require(prepared.decision)
      #expect(decision.scores.allSatisfy { rounding($0) == $0 })
      for row in 0..<prepared.rows.rows { #expect(prepared.rows.row(row).allSatisfy { rounding($0) == $0 }) }
      // Not the same as in f32, and not far from it.
      let exact = try #require(cases.first?.decision).scores
      let differences = zip(decision.scores, exact).map { abs($0 - $1) }
      #expect(differences.contains { $0 > 0 } && differences.allSatisfy { $0 < 0.1 })
    }
  }

  @Test("clear choices hold in bfloat16 and float16, and the record keeps what was tried")
  func recorded() throws {
    let tried = try ReferenceRecord.Case.trying(cases, of: source.parameters(pool: pool), pool: pool)
    for item in tried {
      #expect(item.holdsChoice == (item.decision == nil ? nil : true))
      #expect(item.rounded.count == (item.decision == nil ? 0 : 2))
    }
    let record = ReferenceRecord(fingerprint: "ab", source: "somewhere", cases: tried)
    try folder.write("record", record.encoded().array)
    let read = try ReferenceRecord(path: folder.file("record"))
    #expect(read.cases.map(\.rounded) == tried.map(\.rounded))
    // A record that tried nothing says nothing.
    try folder.write("without", ReferenceRecord(fingerprint: "ab", source: "somewhere", cases: cases).encoded().array)
    #expect(try ReferenceRecord(path: folder.file("without")).cases.allSatisfy { $0.holdsChoice == nil })
  }

  @Test("a flip where the reference does not hold its choice is counted apart, and still counted")
  func counted() throws {
    let item = try #require(cases.first)
    let decision = try #require(item.decision)
    let choice = try #require(decision.wholePicture)
    let other = try #require(choice.options.first { $0 != choice.tokens })
    var firm = item
    var loose = item
    firm.rounded = [.bfloat16: .granularity(decision.granularity), .float16: .granularity(decision.granularity)]
    loose.rounded = [.bfloat16: .granularity(.uniform(other)), .float16: .granularity(decision.granularity)]
    let flipped = RouterDecision(
      granularities: choice.options, logits: choice.options.map { $0 == other ? 9 : 0 }, filterOrder: [])
    let report = VerificationReport(
      model: .init(path: "m"), reference: .init(path: "r", kind: .record), limits: VerificationLimits(),
      cases: [firm, loose, loose].enumerated().map { index, reference in
        VerificationReport.Case(
          reference: reference, decision: index < 2 ? flipped : decision, divergences: [], greedyMatch: 0)
      })
    #expect(report.count(.differs) == 2 && report.differingWhereNotHeld == 1 && !report.passed)
    #expect(report.objections[0].contains("in 1 of them the reference does not hold its own choice"))
    let floors = report.floors
    #expect(floors.map(\.rounding) == [.bfloat16, .float16] && floors.map(\.tried) == [3, 3])
    #expect(floors.map(\.changed) == [2, 0] && floors.map(\.beyondTies) == [2, 0])
    let router = try #require(report.json["router"])
    #expect(router["differing_where_not_held"] == 1 && router["reference_in"]?.array?.count == 2)
  }
}
