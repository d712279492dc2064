import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources
import TestSupport
import Testing

@Suite("Running within a budget") struct ResidencyTests {
  private static let image = Fixtures.path("conformance/images/china.jpg")

  /// A file of the kit's model.
  private func converted(_ recipe: Recipe.Name, _ packing: Packing, in folder: TemporaryFolder) throws -> String {
    let path = folder.file("\(recipe.rawValue)-\(packing.rawValue).grist")
    var options = Conversion.Options()
    options.recipe = recipe
    options.packing = packing
    options.calibration = CalibrationMode.none
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    try Conversion(source, options: options, pool: ThreadPool(threads: 2)).run(to: AtomicFile(path: path, kind: .grist))
    return path
  }

  private struct Answer: Equatable {
    let tokens: [Int]
    let logits: [Float]
  }

  /// Answers without a budget, and with all but a few layers streamed.
  private func answers(
    _ path: String, pinnedLayers: Int = 0, activations: Compute.Activations = .int8, image: Bool = true
  ) throws -> (mapped: Answer, streamed: Answer, plan: MemoryPlan, passes: Int) {
    let compute = Compute(pool: try ThreadPool(threads: 2), activations: activations)
    let mapped = try Source.open(path: path).model(compute: compute)
    let conversation = try Conversation(message: "What is it? What is it? What is", hasImage: image)
    let picture = try image ? mapped.picture(encoded: readFile(Self.image), name: "china") : nil
    let tiles = try picture.map { try mapped.tiles(of: $0) }
    let request = try #require(
      mapped.memoryRequests([mapped.extent(of: conversation, tiles: [tiles].compactMap { $0 })], newTokens: 24).first)
    let needs = try mapped.memoryNeeds()
    let plan = MemoryPlan(needs, request, pinnedLayers: pinnedLayers, pinsHead: false)
    let streamed = try mapped.running(plan)
    func answer(_ model: VisionLanguageModel) throws -> (Answer, Int) {
      let prompt = try model.prepare(conversation, image: tiles.map { try model.encode($0) })
      let answer = try model.answer(prompt, maxNewTokens: 24, sampler: Sampler())
      return (Answer(tokens: answer.tokens, logits: answer.firstLogits), answer.passes)
    }
    let (a, _) = try answer(mapped)
    let (b, passes) = try answer(streamed)
    return (a, b, plan, passes)
  }

  @Test(
    "the same answers, to the last bit, from a file that streams",
    arguments: [Recipe.Name.int4All, .int8, .source], Packing.allCases)
  func files(recipe: Recipe.Name, packing: Packing) throws {
    let folder = try TemporaryFolder()
    let found = try answers(converted(recipe, packing, in: folder))
    #expect(found.mapped == found.streamed && found.mapped.tokens.count > 1)
    #expect(found.plan.streams)
    // Guesses verified together are free where codes meet codes.
    #expect(recipe == .source ? found.passes >= found.mapped.tokens.count - 1 : true)
  }

  @Test("the same answers from a checkpoint's folder, and with f32 activations")
  func folders() throws {
    let kit = try answers(Fixtures.conformanceCheckpoint, pinnedLayers: 1)
    #expect(kit.mapped == kit.streamed && kit.plan.streams)
    let folder = try TemporaryFolder()
    let expanded = try answers(converted(.int4All, .zstd, in: folder), activations: .f32, image: false)
    #expect(expanded.mapped == expanded.streamed)
  }

  @Test("how many rows a picture becomes is known before it is looked at")
  func extent() throws {
    let model = try Source.open(path: Fixtures.conformanceCheckpoint)
      .model(compute: Compute(pool: ThreadPool(threads: 2), activations: .f32))
    let conversation = try Conversation(message: "What is it?", hasImage: true)
    for name in ["china.jpg", "flower_tiny.jpg"] {
      let picture = try model.picture(encoded: readFile(Fixtures.conformanceImages + "/" + name), name: name)
      let tiles = try model.tiles(of: picture)
      let features = try model.encode(tiles)
      for granularity in model.configuration.granularities {
        let chosen = Granularity.uniform(granularity)
        let requests = try model.memoryRequests(
          [model.extent(of: conversation, tiles: [tiles])], newTokens: 7, granularity: chosen)
        let prompt = try model.prepare(conversation, image: features, granularity: chosen)
        #expect(requests.map(\.promptRows) == [prompt.sequenceLength] && requests[0].rows == prompt.sequenceLength + 7)
      }
    }
  }

  @Test("guesses change nothing, and save passes where an answer repeats itself")
  func guesses() throws {
    let folder = try TemporaryFolder()
    let compute = Compute(pool: try ThreadPool(threads: 2))
    let model = try Source.open(path: converted(.int4All, .raw, in: folder)).model(compute: compute)
    var saved = 0
    for question in ["What is it?", "a b c a b c a b c", "0", "one two one two one"] {
      let prompt = try model.prepare(Conversation(message: question, hasImage: false), image: nil)
      let alone = try model.answer(prompt, maxNewTokens: 100, sampler: Sampler(), guesses: false)
      let guessed = try model.answer(prompt, maxNewTokens: 100, sampler: Sampler(), guesses: true)
      #expect(alone.tokens == guessed.tokens && alone.ending == guessed.ending)
      saved += alone.passes - guessed.passes
    }
    #expect(saved > 0)
    #expect(try !model.canGuess(Sampler(temperature: 1)))
  }

  @Test("what followed the last tokens before is guessed, longest match first, and no picture")
  func lookup() {
    #expect(PromptLookup([1, 2, 3, 4, 5, 1, 2, 3]).guesses(atMost: 9) == [4, 5, 1])
    #expect(PromptLookup([7, 2, 9, 1, 2, 8, 7, 2]).guesses(atMost: 1) == [9])
    #expect(PromptLookup([1, 2, -200, 1]).guesses(atMost: 3) == [2])
    #expect(PromptLookup([1, -200, 1]).guesses(atMost: 3) == [])
    #expect(PromptLookup([1, 2, 3]).guesses(atMost: 3) == [])
    #expect(PromptLookup([1, 1]).guesses(atMost: 0) == [])
  }

  @Test("a damaged chunk of a streamed layer is found before a token comes of it; a file cut short is 74")
  func faults() throws {
    let folder = try TemporaryFolder()
    for (packing, isCut) in [(Packing.raw, false), (.zstd, false), (.raw, true)] {
      let path = try converted(.int4All, packing, in: folder)
      let compute = Compute(pool: try ThreadPool(threads: 2))
      let opened = try Source.open(path: path).model(compute: compute)
      let request = MemoryRequest(promptRows: 40, rows: 64)
      let needs = try opened.memoryNeeds()
      let model = try opened.running(MemoryPlan(needs, request, pinnedLayers: 0, pinsHead: false))
      let file = try GristFile(path: path)
      let record = try #require(file.tensor(named: "model.layers.1.mlp.down_proj.weight"))
      let stored = file.place(ofChunk: record.chunks.first).stored
      var bytes = try readFile(path).array
      let offset = stored.lowerBound + stored.count / 2
      if isCut { bytes = Array(bytes.prefix(offset)) } else { bytes[offset] ^= 0x10 }
      try folder.write(fileName(of: path), bytes)
      let prompt = try model.prepare(Conversation(message: "Hi", hasImage: false), image: nil)
      var text = ""
      let error = try #require(throws: GristError.self) {
        try model.answer(prompt, maxNewTokens: 8, sampler: Sampler()) { text += $0 }
      }
      #expect(error.code == (isCut ? .inputOutput : .badData) && error.file == path && text.isEmpty)
      #expect(isCut ? error.tensor?.isEmpty == false : error.tensor == record.name)
    }
  }

  @Test("places of a ring lie behind each other, never across its end, and come free in the order they were given")
  func ring() {
    var ring = RingSpace(capacity: 100)
    #expect(ring.reserve(101, number: 0) == nil)
    #expect(ring.reserve(40, number: 0) == 0 && ring.reserve(40, number: 1) == 40)
    #expect(ring.reserve(40, number: 2) == nil)
    ring.release(number: 1)
    #expect(ring.reserve(40, number: 2) == nil)
    ring.release(number: 0)
    #expect(ring.isEmpty && ring.reserve(60, number: 2) == 0 && ring.reserve(40, number: 3) == 60)
    ring.release(number: 2)
    #expect(ring.reserve(61, number: 4) == nil && ring.reserve(60, number: 4) == 0)
    #expect(ring.reserve(1, number: 5) == nil)
    ring.forget(from: 4)
    #expect(ring.reserve(30, number: 6) == 0)
    ring.release(number: 3)
    #expect(ring.reserve(70, number: 7) == 30)
  }
}
