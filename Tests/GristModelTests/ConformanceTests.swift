import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources
import TestSupport
import Testing

@Suite("Full precision against independent numbers") struct ConformanceTests {
  @Test("upstream's own: every case and granularity of the conformance kit")
  func conformanceKit() throws {
    try UpstreamCases(checkpoint: Fixtures.conformanceCheckpoint, images: Fixtures.conformanceImages).check(
      .init(cases: 7, tiles: 7, choices: 7, filters: 0, forced: 35, tokens: 83))
  }

  private static let others: [(String, UpstreamCases.Checked)] = [
    ("bf16-sharded", .init(cases: 7, tiles: 7, choices: 6, filters: 6, forced: 30, tokens: 84)),
    ("f16-tied", .init(cases: 6, tiles: 6, choices: 5, filters: 5, forced: 25, tokens: 72)),
    ("other-grid", .init(cases: 5, tiles: 5, choices: 5, filters: 5, forced: 25, tokens: 41)),
    ("four-choices", .init(cases: 6, tiles: 6, choices: 6, filters: 6, forced: 24, tokens: 61)),
    ("llava15-pad", .init(cases: 5, tiles: 5, choices: 0, filters: 0, forced: 0, tokens: 60)),
    ("next-spatial", .init(cases: 5, tiles: 5, choices: 0, filters: 0, forced: 0, tokens: 52)),
    ("crop", .init(cases: 5, tiles: 5, choices: 0, filters: 0, forced: 0, tokens: 45)),
  ]

  @Test(
    "the PyTorch reference's: other shapes, types, shardings and image modes",
    arguments: others)
  func otherCheckpoints(name: String, wanted: UpstreamCases.Checked) throws {
    try UpstreamCases(checkpoint: Fixtures.path("checkpoints/" + name), images: Fixtures.conformanceImages).check(
      wanted)
  }

  @Test("the trained demo model: 36 questions on twelve pictures, every choice, filter, answer and logit")
  func demoModel() throws {
    let folder = Fixtures.folder + "/../../Tools/DemoModel/"
    let cases = try UpstreamCases(
      checkpoint: folder + "checkpoint", images: folder + "probes", expected: Fixtures.path("demo/expected.json"))
    try cases.check(.init(cases: 36, tiles: 36, choices: 36, filters: 36, forced: 180, tokens: 72))
  }

  @Test(
    "the source recipe computes the same numbers, to the bit, as the folder",
    arguments: ["conformance/small-f32", "checkpoints/bf16-sharded", "checkpoints/f16-tied"], [Packing.zstd, .raw])
  func sourceRecipe(name: String, packing: Packing) throws {
    let folder = try TemporaryFolder()
    let pool = try ThreadPool(threads: 2)
    let source = try Source.open(path: Fixtures.path(name))
    let recipe = try Recipe(.source)
    _ = try Converter(pool: pool, packing: packing).convert(
      source, plan: ConversionPlan(source, recipe: recipe), recipe: recipe, to: folder.file("model.grist"))

    let cases = try UpstreamCases(checkpoint: Fixtures.path(name), images: Fixtures.conformanceImages)
    let packed = try VisionLanguageModel(
      Source.open(path: folder.file("model.grist")).parameters(pool: pool),
      compute: Compute(pool: ThreadPool(threads: 1), activations: .int8))
    for expected in cases.cases.prefix(3) {
      let conversation = try cases.conversation(expected)
      let image = try cases.features(expected)
      let imageAgain = try cases.features(expected, by: packed)
      let prompt = try cases.model.prepare(conversation, image: image)
      let promptAgain = try packed.prepare(conversation, image: imageAgain)
      #expect(prompt.decision?.scores == promptAgain.decision?.scores)
      let session = try cases.model.start(prompt, newTokens: 3)
      let sessionAgain = try packed.start(promptAgain, newTokens: 3)
      for token in [5, 7, 9] {
        #expect(session.logits == sessionAgain.logits)
        try session.advance(token)
        try sessionAgain.advance(token)
      }
    }
  }
}
