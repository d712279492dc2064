import GristCalibration
import GristCheckpoints
import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristModel
import GristQuantization
import GristVerification
import TestSupport
import Testing

@Suite("Calibration") struct CalibrationTests {
  let folder: TemporaryFolder
  let pool: ThreadPool

  init() throws {
    folder = try TemporaryFolder()
    pool = try ThreadPool(threads: 2)
  }

  private func calibration() throws -> Calibration {
    let picture = try readFile(Fixtures.conformanceImages + "/flower_tiny.jpg")
    return Calibration(
      samples: [
        .init(picture: picture, question: "Is it red?", answer: "It is."),
        .init(question: "Good morning!", answer: "Good morning to you, and to the many who come after you."),
        .init(question: "What else?"),
      ], name: "three samples")
  }

  private func statistics(threads: Int = 2) throws -> InputStatistics {
    try calibration().gather(
      ModelSource.open(path: Fixtures.conformanceCheckpoint), pool: ThreadPool(threads: threads))
  }

  private func convert(_ statistics: InputStatistics?, recipe name: Recipe.Name = .int4All) throws -> String {
    let path = folder.file("\(name.rawValue)-\(statistics == nil ? "none" : "block").grist")
    let source = try ConversionSource.open(path: Fixtures.conformanceCheckpoint)
    let recipe = try Recipe(name, calibrated: statistics?.matrices ?? [])
    _ = try Converter(pool: pool, packing: .raw).convert(
      source, plan: ConversionPlan(source, recipe: recipe, statistics: statistics), recipe: recipe, to: path)
    return path
  }

  @Test("every matrix whose columns come in blocks is watched, of tower, projector, router and language model")
  func coverage() throws {
    let names = try statistics().matrices.map(\.text)
    for name in [
      "model.layers.0.self_attn.k_proj.weight", "model.layers.1.mlp.up_proj.weight", "lm_head.weight",
      "model.mm_projector.2.weight", "model.router.merger.linear1.weight",
      "model.vision_tower.vision_tower.vision_model.encoder.layers.1.mlp.fc2.weight",
    ] { #expect(names.contains(name), "\(name)") }
    // 344 columns are no whole blocks.
    #expect(!names.contains("model.layers.0.mlp.down_proj.weight"))
  }

  @Test("moments are the sums of products of inputs that were turned")
  func moments() throws {
    let compute = Compute(pool: pool)
    let moments = try #require(BlockMoments(columns: 128))
    let x = FloatMatrix(rows: 5, columns: 128, values: (0..<640).map { Float(($0 * 37) % 19) - 9 })
    moments.add(x.copy(rows: 0..<2), compute)
    moments.add(x.copy(rows: 2..<5), compute)
    #expect(moments.rows == 5 && BlockMoments(columns: 100) == nil)
    /// A turned input, by the definition of the matrix.
    func turned(_ row: Int, _ column: Int) -> Double {
      (0..<64).reduce(0.0) {
        let sign = ($1 & (column % 64)).nonzeroBitCount % 2 == 0 ? 1.0 : -1.0
        return $0 + sign * Double(x[row, column / 64 * 64 + $1]) / 8
      }
    }
    for (block, i, j) in [(0, 0, 0), (0, 3, 17), (1, 63, 62), (1, 5, 5)] {
      let expected = (0..<5).reduce(0.0) { $0 + turned($1, block * 64 + i) * turned($1, block * 64 + j) }
      #expect(abs(Double(moments.values[(block * 64 + i) * 64 + j]) - expected) < 1e-3)
    }
  }

  @Test("the file comes back as it was, and is the same for any number of threads")
  func file() throws {
    let bytes = try statistics().encoded()
    #expect(try statistics(threads: 1).encoded().elementsEqual(bytes))
    try folder.write("stats", bytes.array)
    #expect(try InputStatistics(path: folder.file("stats")).encoded().elementsEqual(bytes))
  }

  @Test("statistics of other weights, and files that are none, are refused")
  func refused() throws {
    let error = #expect(throws: GristError.self) {
      try statistics().require(fingerprint: "00", path: "stats")
    }
    #expect(error?.code == .badData && error?.what == "the statistics were gathered on other weights")
    let other = Fixtures.conformanceCheckpoint + "/model.safetensors"
    #expect(throws: GristError.self) { _ = try InputStatistics(path: other) }
  }

  @Test("moments that are zero are passed over, what is not finite is refused")
  func degenerate() throws {
    let zero = [Float](repeating: 0, count: 64 * 64)
    #expect(ErrorFeedback(moments: zero)?.emptyBlocks == 1)
    // One direction only: damping makes it positive definite.
    let single: [Float] = (0..<4096).map { (index: Int) -> Float in Float(index / 64 + 1) * Float(index % 64 + 1) }
    #expect(ErrorFeedback(moments: zero + single)?.emptyBlocks == 1)
    #expect(ErrorFeedback(moments: zero.map { _ in .nan }) == nil)
    #expect(ErrorFeedback(moments: [1, 2, 3]) == nil)
  }

  @Test("what errors do to the outputs shrinks, and the file says how far its weights are")
  func smallerDivergence() throws {
    let source = try ModelSource.open(path: Fixtures.conformanceCheckpoint)
    let compute = Compute(pool: pool)
    let record = ReferenceRecord(
      fingerprint: try source.fingerprint(), source: source.path,
      cases: try source.model(compute: Compute(pool: pool, activations: .f32)).record(
        ["Tell me more.", "And the sea?", "Who comes?"].map { try Probe(imagePath: nil, prompt: $0) }, maxNewTokens: 8))
    let statistics = try statistics()
    var kl: [Double] = []
    for path in [try convert(nil), try convert(statistics)] {
      let model = try ModelSource.open(path: path)
      kl.append(try model.model(compute: compute).verify(against: record, limits: VerificationLimits()).kl.mean)
      let comparison = try WeightComparison(model: model, reference: source, pool: pool)
      #expect(comparison.rejected.isEmpty && comparison.isExact)
    }
    #expect(kl[1] < kl[0], "\(kl)")
    let schemes = try GristFile(path: folder.file("int4-all-block.grist")).manifest.tensors.map(\.scheme.name)
    #expect(schemes.contains("int4 g64 table rotated") && schemes.contains("int4 g64 table"))
  }
}
