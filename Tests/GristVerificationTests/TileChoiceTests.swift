import GristConversion
import GristCore
import GristFormat
import GristImaging
import GristKernels
import GristModel
import GristSources
import GristVerification
import TestSupport
import Testing

@Suite("Choices of another shape") struct TileChoiceTests {
  let folder: TemporaryFolder
  let compute: Compute
  let source: Source
  let questions: [Question]

  init() throws {
    folder = try TemporaryFolder()
    compute = Compute(pool: try ThreadPool(threads: 2), activations: .f32)
    source = try Source.open(path: TileFamily.checkpoint(in: folder), options: Self.options())
    questions = try VerificationTests.probes()
  }

  static func options(_ family: TileFamily = TileFamily()) -> SourceOptions {
    SourceOptions(families: [family] + ModelFamilies.builtIn)
  }

  private func record() throws -> ReferenceRecord {
    var options = Recording.Options()
    options.maxNewTokens = 4
    return try Recording(source, questions: questions, options: options, compute: compute).run()
  }

  private func converted(_ recipe: Recipe.Name) throws -> Source {
    let path = folder.file("\(recipe.rawValue).grist")
    var options = Conversion.Options()
    options.recipe = recipe
    try Conversion(source, options: options, pool: compute.pool).run(to: AtomicFile(path: path, kind: .grist))
    return try Source.open(path: path, options: Self.options())
  }

  @Test("one choice a tile goes from the router to the prompt, the record, the file and the report")
  func endToEnd() throws {
    let record = try record()
    let asked = try #require(record.cases.first)
    let decision = try #require(asked.decision)
    let model = try source.model(compute: compute)
    let image = try model.encode(RGBImage(encoded: #require(asked.question.pictures.first?.bytes), name: "picture"))
    let chosen = decision.choices.map(\.tokens)
    #expect(chosen.count == image.tileCount && Set(chosen) == [36, 144])
    #expect(decision.granularity == .perTile(chosen) && asked.granularity == decision.granularity)
    // Each tile brings its own tokens and no newline.
    #expect(asked.sequenceLength == asked.inputIDs.count - 1 + chosen.reduce(0, +))
    // A file of nothing lost has the same choices to the last bit.
    let exact = try converted(.source)
    let same = try Verification(exact, against: .record(record), compute: compute).run()
    #expect(
      same.passed && same.largestLogitDifference == 0 && same.cases.map(\.decision) == record.cases.map(\.decision))
    #expect(exact.hasExactChoices == true)
    #expect(try exact.configuration().family == "tile_chooser")
    // One with int8 is held to them.
    var options = Verification.Options()
    options.attributesParts = true
    let report = try Verification(
      converted(.int8), against: .model(source), questions: questions, options: options, compute: compute
    ).run()
    #expect(report.decided == 2 && report.count(.agrees) + report.count(.tie) == 2, "\(report.objections)")
    #expect(!report.hasTextFilter && report.parts.map(\.cases) == [2, 2, 2, 2])
    let item = try #require(report.json["cases"]?.array?.first)
    #expect(item["reference_choice"] == JSONValue(chosen) && item["logits"]?.array?.count == 2 * chosen.count)
    let page = report.html
    #expect(page.contains("tile \(chosen.count): reference chose") && !page.contains("Text filter"))
    let grid = try #require(report.cases.first?.grid)
    #expect(page.contains("in \(grid.areas.reduce(0) { $0 + $1.cells }) cells"))
  }

  @Test("a record keeps every choice, its scores and the reason, in a file of its own and inside a model's")
  func recorded() throws {
    let record = try record()
    let path = folder.file("answers.record")
    try AtomicFile(path: path, kind: .record).finish(with: record.encoded())
    let read = try ReferenceRecord(path: path)
    #expect(read.cases.map(\.decision) == record.cases.map(\.decision))
    #expect(read.cases.map(\.granularity) == record.cases.map(\.granularity))
    #expect(read.cases.map(\.rounded) == record.cases.map(\.rounded) && read.cases[0].rounded.count == 2)
    let file = try converted(.source)
    try EmbeddingTarget(path: file.path, fingerprint: record.fingerprint).embed(record.encoded())
    let whole = try Source.open(path: file.path, options: Self.options())
    let reference = try Reference.open(nil, model: whole, asksQuestions: false)
    #expect(try Verification(whole, against: reference, compute: compute).run().passed)
  }

  @Test("the picture's cells are those of each tile's own grid")
  func cells() throws {
    let model = try source.model(compute: compute)
    let image = try model.encode(
      RGBImage(width: 384, height: 384, pixels: [UInt8](repeating: 90, count: 384 * 384 * 3)))
    #expect(image.tileCount == 5)
    let granularity = Granularity.perTile([144, 36, 144, 144, 36])
    let grid = try #require(try model.tokenGrid(of: image, granularity: granularity))
    #expect(grid.areas.map(\.cells) == [36, 144, 144, 36] && grid.tileColumns.isEmpty)
    #expect(grid.areas.map(\.across) == [0...192, 192...384, 0...192, 192...384])
    #expect(grid.areas.map(\.down) == [0...192, 0...192, 192...384, 192...384])
    #expect(grid.areas[3].columns == [1, 2, 3, 4, 5].map { 192 + 32 * $0 })
    #expect(try model.tokenGrid(of: image, granularity: .perTile([36, 36])) == nil)
    #expect(try model.tokenGrid(of: image, granularity: .perTile([36, 36, 36, 36, 144, 36])) == nil)
    let conversation = try Conversation(message: "What is it?", hasImage: true)
    let prompt = try model.prepare(conversation, image: image, granularity: granularity)
    #expect(prompt.sequenceLength == prompt.inputIDs.count - 1 + 504)
    for wrong in [Granularity.perTile([36, 36]), .perTile([36, 37, 36, 36, 36]), .uniform(72)] {
      let error = #expect(throws: GristError.self) {
        try model.prepare(conversation, image: image, granularity: wrong)
      }
      #expect(error?.code == .usage, "\(wrong)")
    }
  }

  @Test("where tiles are put together in rows, they must be alike")
  func spatial() throws {
    let options = Self.options(TileFamily(patchMerge: .spatial(unpad: true)))
    let model = try Source.open(path: source.path, options: options).model(compute: compute)
    let image = try model.encode(RGBImage(encoded: #require(questions[0].pictures.first?.bytes), name: "picture"))
    let conversation = try Conversation(message: "What is it?", hasImage: true)
    let error = #expect(throws: GristError.self) { try model.prepare(conversation, image: image) }
    #expect(error?.what == "tiles of different granularities cannot be put together in rows" && error?.code == .badData)
    #expect(try model.prepare(conversation, image: image, granularity: .uniform(36)).granularity == .uniform(36))
  }

  @Test("decisions agree tile by tile; one that differs is a tie only where the reference was close to it")
  func agreement() throws {
    func decision(_ chosen: [Int], margins: [Float]) -> RouterDecision {
      RouterDecision(
        chosen.indices.map {
          RouterChoice(
            .tile($0), options: [36, 144], scores: [0, 1], index: chosen[$0] == 36 ? 0 : 1, margin: margins[$0])
        })
    }
    let asked = try #require(record().cases.first)
    let reference = decision([36, 144, 36], margins: [1, 0.001, 0.5])
    let expected = ReferenceRecord.Case(
      question: asked.question, inputIDs: [], decision: reference, granularity: reference.granularity,
      sequenceLength: 1, tokens: [], logits: [])
    for (chosen, wanted) in [
      ([36, 144, 36], VerificationReport.Case.Agreement.agrees), ([36, 36, 36], .tie), ([144, 144, 36], .differs),
      ([144, 36, 36], .differs), ([36, 144], .differs),
    ] {
      let found = decision(chosen, margins: [9, 9, 9])
      let item = VerificationReport.Case(reference: expected, decision: found, divergences: [], greedyMatch: 0)
      #expect(item.agreement(tieMargin: 0.02) == wanted, "\(chosen)")
    }
  }

  @Test(
    "a record whose choices are not whole is refused",
    arguments: [
      #"{"choices": [], "reasons": {}}"#,
      #"{"choices": [{"where": {"tile": 1}, "options": [36], "scores": [1], "chosen": 36}], "reasons": {}}"#,
      #"{"choices": [{"where": "picture", "options": [36, 72], "scores": [1], "chosen": 36}], "reasons": {}}"#,
      #"{"choices": [{"where": "picture", "options": [36], "scores": [1], "chosen": 72}], "reasons": {}}"#,
      #"{"choices": [{"where": "layer", "options": [36], "scores": [1], "chosen": 36}], "reasons": {}}"#,
      #"{"choices": [{"where": "picture", "options": [], "scores": [], "chosen": 36}], "reasons": {}}"#,
      #"{"choices": [{"where": "picture", "options": [36], "scores": [1], "chosen": 36}]}"#,
      #"{"choices": [{"where": "picture", "options": [36], "scores": [1], "chosen": 36}], "reasons": {"a": "b"}}"#,
      #"{"granularities": [], "logits": [], "filter": []}"#,
    ])
  func malformed(_ text: String) throws {
    let error = #expect(throws: GristError.self) {
      try RouterDecision(JSONReader(JSONValue.parse(text), file: "record"))
    }
    #expect(error?.code == .badData)
  }
}
