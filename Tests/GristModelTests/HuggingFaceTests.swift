import GristConversion
import GristCore
import GristImaging
import GristKernels
import GristModel
import GristSources
import TestSupport
import Testing

/// What transformers computed with checkpoints that it saved itself: Tools/reference/write_huggingface.py.
@Suite("Hugging Face's own LLaVA and LLaVA-NeXT") struct HuggingFaceTests {
  static let checkpoints = ["next-4", "next-5", "llava-4", "llava-5"]

  static func path(_ name: String) -> String { Fixtures.path("huggingface/\(name)") }

  private func answers(_ source: Source, _ name: String) throws {
    let compute = Compute(pool: try ThreadPool(threads: 2))
    let model = try source.model(compute: compute)
    let document = try Fixtures.json("huggingface/\(name)/expected.json")
    let imageToken = try #require(document.object?["image_token"]?.integer)
    let cases = try #require(document.object?["cases"]?.array)
    #expect(cases.count == 8)
    for entry in cases {
      let item = try #require(entry.object)
      let (picture, prompt) = (try #require(item["image"]?.string), try #require(item["prompt"]?.string))
      let image = try model.encode(
        RGBImage(file: Fixtures.path("conformance/images/\(picture)")))
      let conversation = try Conversation(message: prompt, hasImage: true)
      #expect(try conversation.rendering(model.configuration.format).text == item["text"]?.string)
      let prepared = try model.prepare(conversation, image: image)
      let ids = prepared.inputIDs.map { $0 == Conversation.imageID ? imageToken : $0 }
      #expect(ids == item["input_ids"]?.integers, "\(picture)")
      #expect(prepared.sequenceLength - ids.count + 1 == item["image_rows"]?.integer, "\(picture)")
      let expected = try #require(item["last_logits"]?.floats)
      let answer = try model.answer(prepared, maxNewTokens: 8, sampler: Sampler())
      let difference = zip(answer.firstLogits, expected).map { abs($0 - $1) }.max() ?? .infinity
      #expect(answer.firstLogits.count == expected.count && difference < 2e-4, "\(picture): \(difference)")
      let tokens = try #require(item["greedy"]?.integers).filter { !model.endTokens.contains($0) }
      #expect(answer.tokens == tokens, "\(picture): \(prompt)")
    }
  }

  @Test("the folder answers as transformers does", arguments: checkpoints)
  func folder(name: String) throws {
    let source = try Source.open(path: Self.path(name))
    guard let checkpoint = source.checkpoint else { return }
    #expect(checkpoint.notes.contains { $0.contains("hugging-face-llava") })
    try answers(source, name)
  }

  @Test("Mistral's window: the folder and its file answer as transformers does, prompts longer than the window too")
  func mistral() throws {
    let folder = try TemporaryFolder()
    let path = Self.path("mistral")
    let source = try Source.open(path: path)
    let recipe = try Recipe(.source)
    let compute = Compute(pool: try ThreadPool(threads: 2))
    _ = try Converter(pool: compute.pool, packing: .raw).convert(
      source, plan: ConversionPlan(source, recipe: recipe), recipe: recipe, to: folder.file("m.grist"))
    for path in [path, folder.file("m.grist")] {
      let model = try Source.open(path: path).model(compute: compute)
      #expect(model.configuration.slidingWindow == 9 && model.configuration.headDimension == 16)
      for entry in try #require(Fixtures.json("huggingface/mistral/expected.json")["cases"]?.array) {
        let prepared = try model.prepare(
          Conversation(message: try #require(entry["prompt"]?.string), hasImage: false), image: nil)
        #expect(prepared.inputIDs == entry["input_ids"]?.integers)
        let answer = try model.answer(prepared, maxNewTokens: 24, sampler: Sampler())
        let expected = try #require(entry["last_logits"]?.floats)
        let difference = zip(answer.firstLogits, expected).map { abs($0 - $1) }.max() ?? .infinity
        #expect(answer.firstLogits.count == expected.count && difference < 2e-4, "\(difference)")
        #expect(try answer.tokens == #require(entry["greedy"]?.integers).filter { !model.endTokens.contains($0) })
      }
    }
  }

  @Test("tokenizer.json is read, alone or beside tokenizer.model, and travels with a file", arguments: [false, true])
  func tokenizerFile(beside: Bool) throws {
    let folder = try TemporaryFolder()
    for name in ["config.json", "preprocessor_config.json", "model.safetensors"] + (beside ? ["tokenizer.model"] : []) {
      _ = try folder.copy(Self.path("next-5/\(name)"), to: name)
    }
    _ = try folder.copy(Fixtures.path("tokenizers/sentencepiece-old.json"), to: "tokenizer.json")
    let source = try Source.open(path: folder.path)
    #expect(try source.model(compute: Compute(pool: ThreadPool(threads: 1))).tokenizer is BytePairTokenizer)
    try answers(source, "next-5")
    let recipe = try Recipe(.source)
    let conversion = try Source.open(
      path: folder.path, options: SourceOptions(configuration: ConfigurationOptions(template: "mistral")))
    _ = try Converter(pool: ThreadPool(threads: 2), packing: .zstd).convert(
      conversion, plan: try ConversionPlan(conversion, recipe: recipe), recipe: recipe, to: folder.file("a.grist"))
    let model = try Source.open(path: folder.file("a.grist")).model(compute: Compute(pool: ThreadPool(threads: 1)))
    #expect(model.tokenizer is BytePairTokenizer && model.configuration.format.builtInTemplate == .mistral)
    let other = try Source.open(
      path: folder.file("a.grist"), options: SourceOptions(configuration: ConfigurationOptions(template: "chatml")))
    #expect(
      try other.model(compute: Compute(pool: ThreadPool(threads: 1))).configuration.format.builtInTemplate == .chatml)
  }

  @Test("so does the file that it converts to, which keeps upstream's names too", arguments: checkpoints)
  func file(name: String) throws {
    let folder = try TemporaryFolder()
    let pool = try ThreadPool(threads: 2)
    let source = try Source.open(path: Self.path(name))
    let recipe = try Recipe(.source)
    let plan = try ConversionPlan(source, recipe: recipe)
    #expect(plan.architecture == "hugging_face_llava")
    _ = try Converter(pool: pool, packing: .zstd).convert(
      source, plan: plan, recipe: recipe, to: folder.file("a.grist"))
    let model = try Source.open(path: folder.file("a.grist"))
    guard let file = model.file else { return }
    let head = try #require(file.manifest.tensors.first { $0.name == "lm_head.weight" })
    #expect(head.origin.name == "language_model.lm_head.weight")
    try answers(model, name)
  }
}
