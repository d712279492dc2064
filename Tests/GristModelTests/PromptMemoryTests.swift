import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources
import TestSupport
import Testing

@Suite("Sessions that remember") struct PromptMemoryTests {
  private let folder: TemporaryFolder
  private let path: String

  init() throws {
    folder = try TemporaryFolder()
    path = folder.file("model.grist")
    var options = Conversion.Options()
    options.recipe = .int4All
    options.calibration = CalibrationMode.none
    try Conversion(
      Source.open(path: Fixtures.conformanceCheckpoint), options: options, pool: ThreadPool(threads: 2)
    ).run(to: AtomicFile(path: path, kind: .grist))
  }

  private func model(_ cache: CachePrecision? = nil) throws -> VisionLanguageModel {
    try Source.open(path: path).model(compute: Compute(pool: ThreadPool(threads: 2), cache: cache))
  }

  private func prompt(_ model: VisionLanguageModel, _ text: String) throws -> VisionLanguageModel.PreparedPrompt {
    try model.prepare(Conversation(message: text, hasImage: false), image: nil)
  }

  /// The next tokens, and the logits before each.
  private func answer(_ session: DecodingSession, _ count: Int = 3) throws -> [[Float]] {
    try (0..<count).map { _ in
      let logits = session.logits
      try session.advance(logits.indices.max { logits[$0] < logits[$1] } ?? 0)
      return logits
    }
  }

  @Test(
    "what stands behind a kept beginning is what it is without it, to the last bit, for every length from 1 to 64",
    arguments: [CachePrecision.f16, .int8, .f32])
  func suffixes(precision: CachePrecision) throws {
    let model = try model(precision)
    let memory = PromptMemory(model, budget: 1 << 30)
    let start = String(repeating: "The quick brown fox jumps over the lazy dog. ", count: 6)
    let first = try memory.start(prompt(model, start), newTokens: 2)
    #expect(first.keptRows == 0)
    _ = try answer(first.session)
    memory.finish(first.session)
    var kept: Set<Int> = []
    for length in 1...64 {
      let asked = try prompt(model, start + String(repeating: "ab", count: length).prefix(length))
      let (session, rows) = try memory.start(asked, newTokens: 4)
      #expect(rows > 0 && asked.sequenceLength - rows >= 32)
      kept.insert(rows)
      let alone = try answer(model.start(asked, newTokens: 4))
      #expect(try answer(session) == alone, "a suffix of \(length), \(rows) rows kept of \(asked.sequenceLength)")
      memory.finish(session)
    }
    #expect(kept.count > 8)
  }

  @Test("long prompts, which go through in blocks, are what they are from wherever they are cut")
  func blocks() throws {
    let model = try model()
    let text = (0..<700).map { "\($0 * 7919 % 1000) " }.joined()
    for (length, cut) in [(1800, 1500), (1530, 900), (1600, 300), (1540, 1505)] {
      let memory = PromptMemory(model, budget: 1 << 30)
      let asked = try prompt(model, String(text.prefix(length)))
      memory.finish(try memory.start(prompt(model, String(text.prefix(cut)) + "?"), newTokens: 1).session)
      let (session, rows) = try memory.start(asked, newTokens: 4)
      #expect(rows > 200 && asked.sequenceLength > 512)
      #expect(try answer(session) == answer(model.start(asked, newTokens: 4)))
    }
  }

  @Test("a picture is looked at once, and what stands before and in it is kept where the grid is the same")
  func pictures() throws {
    let model = try model()
    let memory = PromptMemory(model, budget: 1 << 30)
    let china = try readFile(Fixtures.conformanceImages + "/china.jpg")
    func ask(_ question: String, _ granularity: Int) throws -> Int {
      let features = try memory.features(of: china, name: "china").features
      let conversation = try Conversation(message: question, hasImage: true)
      let asked = try model.prepare(conversation, image: features, granularity: .uniform(granularity))
      let (session, rows) = try memory.start(asked, newTokens: 4)
      let fresh = try model.encode(model.tiles(of: model.picture(encoded: china, name: "china")))
      let alone = try model.prepare(conversation, image: fresh, granularity: .uniform(granularity))
      #expect(try answer(session) == answer(model.start(alone, newTokens: 4)))
      memory.finish(session)
      return rows
    }
    #expect(try !PromptMemory(model, budget: 1 << 30).features(of: china, name: "china").wereKept)
    #expect(try ask("What is in the picture? Tell me all.", 72) == 0)
    #expect(try memory.features(of: china, name: "china").wereKept)
    let again = try ask("Is it red, or is it rather some other colour?", 72)
    #expect(again > 250)
    // Another grid shares what stands before the picture alone, which is too little or not the picture.
    #expect(try ask("Is it red, or is it rather some other colour?", 144) < 100)
    #expect(try ask("What is in the picture? Tell me all.", 72) > 250)
  }

  @Test("the budget holds, and what was used longest ago goes first")
  func budget() throws {
    let model = try model()
    func remember(_ memory: PromptMemory, _ text: String) throws -> Int {
      let (session, rows) = try memory.start(prompt(model, text), newTokens: 1)
      memory.finish(session)
      return rows
    }
    let texts = ["a", "b", "c"].map { String(repeating: $0 + " ", count: 100) }
    let one = PromptMemory(model, budget: 1 << 30)
    _ = try remember(one, texts[0])
    let size = one.byteCount
    // What stands before every question.
    let template = try remember(one, texts[1])
    let memory = PromptMemory(model, budget: size * 5 / 2)
    for text in texts { #expect(try remember(memory, text) <= template) }
    #expect(memory.byteCount <= size * 5 / 2)
    #expect(try remember(memory, texts[2]) > template + 20)
    #expect(try remember(memory, texts[0]) <= template)
    #expect(try remember(PromptMemory(model, budget: 0), texts[0]) == 0)
  }

  @Test("sessions that go on together become what each becomes alone, one to four tokens of each at a time")
  func together() throws {
    let model = try model()
    let texts = ["Hi", "What is it?", String(repeating: "long ", count: 30), "1 2 3 4 5 6 7"]
    let tokens = [[5, 6, 7, 8, 9, 10, 11], [300, 2, 3], [9, 9, 9, 9, 9], [17]]
    let alone = try zip(texts, tokens).map { text, tokens in
      let session = try model.start(prompt(model, text), newTokens: 8)
      return try tokens.map { token in
        try session.advance(token)
        return session.logits
      }
    }
    for step in 1...4 {
      let sessions = try model.start(texts.map { try prompt(model, $0) }, newTokens: 8)
      var heard = tokens.map { $0.map { _ in [Float]() } }
      if step == 4 {
        try model.follow(sessions, tokens) { heard[$0][$1] = $2 }
      } else {
        for start in stride(from: 0, to: 7, by: step) {
          let left = sessions.indices.filter { tokens[$0].count > start }
          let logits = try model.advance(left.map { (sessions[$0], Array(tokens[$0][start...].prefix(step))) })
          for (index, rows) in zip(left, logits) {
            for row in 0..<rows.rows { heard[index][start + row] = rows.row(row) }
          }
        }
      }
      #expect(heard == alone, "\(step) tokens at a time")
    }
  }
}
