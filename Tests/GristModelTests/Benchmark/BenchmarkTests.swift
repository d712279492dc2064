import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources
import TestSupport
import Testing

@Suite("Measuring a model") struct BenchmarkTests {
  let compute = Compute(pool: try! ThreadPool(threads: 2))

  private func report(_ path: String, prefill: [Int], depths: [Int], seesImages: Bool = true, warmsUp: Bool = false)
    throws -> BenchmarkReport
  {
    var fractions: [Double] = []
    let benchmark = try Benchmark(path: path, compute: compute) {
      try BenchmarkPlan(
        prefillRows: prefill, depths: depths, decodeTokens: 3, repetitions: 2, warmsUp: warmsUp, seesImages: seesImages,
        maximumLength: $0)
    }
    let report = try benchmark.run { fraction, _ in fractions.append(fraction) }
    #expect(fractions == fractions.sorted() && fractions.first == 0 && fractions.last == 1)
    return report
  }

  private func convert(_ fixture: String, _ recipe: Recipe.Name, into folder: TemporaryFolder) throws -> String {
    let source = try Source.open(path: Fixtures.path(fixture))
    let recipe = try Recipe(recipe)
    _ = try Converter(pool: compute.pool, packing: .raw).convert(
      source, plan: ConversionPlan(source, recipe: recipe), recipe: recipe, to: folder.file("model.grist"))
    return folder.file("model.grist")
  }

  @Test("a checkpoint with a router: everything is measured")
  func checkpoint() throws {
    let clock = ContinuousClock()
    let began = clock.now
    let report = try report(Fixtures.conformanceCheckpoint, prefill: [8, 40], depths: [0, 40])
    let elapsed = (clock.now - began) / .seconds(1)
    // What was measured took no longer than measuring it.
    let parts =
      report.openSeconds + report.firstRowSeconds
      + report.prefill.reduce(0) { $0 + Double($1.rows) / $1.tokensPerSecond }
    #expect(parts > elapsed / 1000 && parts < elapsed)
    #expect(report.recipe == nil && report.packing == nil)
    #expect(report.threads == 2 && report.instructionSet == Compute.instructionSet && report.repetitions == 2)
    #expect(report.openSeconds > 0 && report.firstRowSeconds > 0 && report.peakResidentBytes > 0)
    #expect(report.prefill.map(\.rows) == [8, 40] && report.prefill.allSatisfy { $0.tokensPerSecond > 0 })
    #expect(report.decode.map(\.depth) == [0, 40] && report.decode.allSatisfy { $0.tokensPerSecond > 0 })
    #expect(report.decode.map(\.tokens) == [3, 3])
    #expect(report.decode.allSatisfy { ($0.memoryReadBytesPerSecond ?? 0) > 1e6 })
    #expect(report.tower?.tiles == 5 && report.router?.tiles == 5)
  }

  @Test("a prompt of one row and an empty context are two things; warming up counts as progress, not as a result")
  func oneRow() throws {
    let report = try report(
      Fixtures.path("checkpoints/llava15-pad"), prefill: [1, 8], depths: [0], seesImages: false, warmsUp: true)
    #expect(report.prefill.map(\.rows) == [1, 8] && report.decode.map(\.depth) == [0])
    #expect(report.prefill.allSatisfy { $0.seconds > 0 } && report.decode[0].seconds > 0)
  }

  @Test("without a router, without pictures")
  func parts() throws {
    let folder = Fixtures.path("checkpoints/llava15-pad")
    let padded = try report(folder, prefill: [8], depths: [])
    #expect(padded.tower?.tiles == 1 && padded.router == nil && padded.decode.isEmpty)
    let text = try report(folder, prefill: [], depths: [0], seesImages: false)
    #expect(text.tower == nil && text.router == nil && text.prefill.isEmpty)
  }

  @Test("bytes and operations of the decoder, counted by hand: 2 layers of 128 and 344, heads of 32, 1024 tokens")
  func cost() throws {
    let weights = 2 * (4 * 128 * 128 + 3 * 128 * 344)
    let norms = (2 * 2 + 1) * 128
    let head = 1024 * 128
    let reference = try report(Fixtures.conformanceCheckpoint, prefill: [], depths: [0], seesImages: false)
    #expect(reference.cost.operationsPerRow == 2 * weights)
    #expect(reference.cost.weightBytesPerToken == 4 * (weights + norms + head))
    #expect(reference.cacheBytesPerToken == 2 * 2 * 128 * 4)

    let folder = try TemporaryFolder()
    let quantized = try report(
      convert("conformance/small-f32", .int4, into: folder), prefill: [], depths: [0], seesImages: false)
    #expect(quantized.recipe == "int4" && quantized.packing == "raw")
    // Stored in whole tiles of 16 rows and groups of 64 columns: 344 rows become 352, 344 columns have 6 scales.
    let codes = 2 * (4 * 128 * 128 + 2 * 352 * 128 + 128 * 344) / 2
    let scales = 2 * 2 * (4 * 128 * 2 + 2 * 352 * 2 + 128 * 6)
    let quantizedHead = head + 2 * 1024 * 2
    #expect(quantized.cost.weightBytesPerToken == codes + scales + 4 * norms + quantizedHead)
    #expect(quantized.cost.operationsPerRow == reference.cost.operationsPerRow)
  }

  @Test("tied embeddings are read once, as the head")
  func tied() throws {
    let report = try report(Fixtures.path("checkpoints/f16-tied"), prefill: [], depths: [0], seesImages: false)
    let weights = 2 * (4 * 72 * 72 + 3 * 72 * 150)
    #expect(report.cost.weightBytesPerToken == 2 * (weights + 5 * 72 + 1024 * 72))
  }

  @Test("limits follow from costs")
  func limits() {
    let limits = MachineLimits(memoryReadBytesPerSecond: 8000, int8OperationsPerSecond: 1000)
    let cost = DecodingCost(weightBytesPerToken: 1000, operationsPerRow: 50)
    #expect(limits.prefillRate(cost) == 20)
    #expect(cost.decodeRate(bytesPerSecond: 8000, cacheBytes: 0) == 8)
    #expect(cost.decodeRate(bytesPerSecond: 8000, cacheBytes: 1000) == 4)
  }

  @Test("the document says what the report says")
  func document() throws {
    let report = try report(Fixtures.path("checkpoints/llava15-pad"), prefill: [8], depths: [4])
    let json = report.json
    #expect(json["open_ms"]?.double == report.openSeconds * 1000 && json["router"] == .some(.null))
    #expect(json["tower"]?["s_per_tile"]?.double == report.tower?.seconds)
    #expect(
      json["prefill"]?.array?.first?["of_limit"]?.double == report.prefill[0].tokensPerSecond / report.prefillLimit)
    #expect(
      json["decode"]?.array?.first?["of_limit"]?.double
        == report.decode[0].tokensPerSecond / report.limit(of: report.decode[0]))
    #expect(
      json["decode"]?.array?.first?["memory_read_bytes_per_s"]?.double == report.decode[0].memoryReadBytesPerSecond)
  }
}
