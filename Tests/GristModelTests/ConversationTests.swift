import GristConversion
import GristCore
import GristImaging
import GristKernels
import GristModel
import GristSources
import TestSupport
import Testing

/// What transformers makes of them: Tools/reference/write_conversations.py.
@Suite("Conversations with several pictures and turns, against transformers") struct ConversationTests {
  static let document = (try? Fixtures.json("huggingface/conversations.json")) ?? [:]

  /// The conversation and the pictures that a list of messages names.
  private func asked(_ messages: JSONValue) throws -> (conversation: Conversation, pictures: [String]) {
    let list = try MessageList(messages)
    let pictures = list.pictures.compactMap { if case .file(let path) = $0.source { path } else { nil } }
    return (try Conversation(system: list.system, history: list.history, message: list.message), pictures)
  }

  @Test(
    "the same ids, logits to 2e-4 and the same tokens, by templates that put pictures first and by one that does not")
  func answers() throws {
    let compute = Compute(pool: try ThreadPool(threads: 2))
    let conversations = try #require(Self.document["conversations"]?.array)
    let token = try #require(Self.document["image_token"]?.integer)
    let answered = try #require(Self.document["answers"]?.array)
    #expect(conversations.count == 7 && answered.count == 4)
    for entry in answered {
      let template = try #require(entry["template"]?.string)
      let path = Fixtures.path("huggingface/\(try #require(entry["checkpoint"]?.string))")
      let model = try Source.open(
        path: path, options: SourceOptions(configuration: ConfigurationOptions(template: template))
      ).model(compute: compute)
      for (messages, wanted) in zip(conversations, try #require(entry["cases"]?.array)) {
        let (conversation, pictures) = try asked(messages)
        #expect(try conversation.rendering(model.configuration.format).text == wanted["text"]?.string)
        let images = try pictures.map {
          try model.encode(RGBImage(file: Fixtures.path("conformance/images/\($0)")))
        }
        let prompt = try model.prepare(conversation, images: images)
        #expect(prompt.inputIDs.map { $0 == Conversation.imageID ? token : $0 } == wanted["input_ids"]?.integers)
        #expect(prompt.pictureRows == wanted["image_rows"]?.integer)
        let extent = try model.extent(
          of: conversation,
          tiles: pictures.map { try model.tiles(of: RGBImage(file: Fixtures.path("conformance/images/\($0)"))) })
        #expect(model.memoryRequests([extent], newTokens: 1).first?.promptRows == prompt.sequenceLength)
        let answer = try model.answer(prompt, maxNewTokens: 8, sampler: Sampler())
        let logits = try #require(wanted["last_logits"]?.floats)
        let difference = zip(answer.firstLogits, logits).map { abs($0 - $1) }.max() ?? .infinity
        #expect(answer.firstLogits.count == logits.count && difference < 2e-4, "\(difference): \(messages.text())")
        #expect(try answer.tokens == #require(wanted["greedy"]?.integers).filter { !model.endTokens.contains($0) })
      }
    }
  }

  @Test("templates of our own write systems and pictures down as the published ones do")
  func templates() throws {
    let conversations = try #require(Self.document["conversations"]?.array)
    for entry in try #require(Self.document["rendered"]?.array) {
      let own = try #require(entry["name"]?.string.flatMap { PromptTemplate(rawValue: $0) })
      for (messages, wanted) in zip(conversations, try #require(entry["texts"]?.array)) {
        // Several texts of one message are joined by nothing there, and by a blank, and by lines here.
        let (conversation, _) = try asked(messages)
        guard conversation.message.parts.count <= conversation.message.pictures + 1 else { continue }
        #expect(Array(own.text(conversation).utf8) == wanted.string.map { Array($0.utf8) }, "\(own)")
      }
    }
  }

  @Test("kept rows of two pictures are those of the same two in the same order")
  func kept() throws {
    let folder = try TemporaryFolder()
    var options = Conversion.Options()
    options.calibration = CalibrationMode.none
    let pool = try ThreadPool(threads: 2)
    try Conversion(Source.open(path: Fixtures.path("huggingface/next-5")), options: options, pool: pool)
      .run(to: AtomicFile(path: folder.file("m.grist"), kind: .grist))
    let model = try Source.open(path: folder.file("m.grist")).model(compute: Compute(pool: pool))
    let memory = PromptMemory(model, budget: 1 << 26)
    func ask(_ names: [String], _ text: String) throws -> Int {
      let images = try names.map {
        try memory.features(of: readFile(Fixtures.path("conformance/images/\($0)")), name: $0).features
      }
      let conversation = try Conversation(message: .init(text, pictures: names.count))
      let asked = try model.prepare(conversation, images: images)
      func answer(_ session: DecodingSession) throws -> [Float] {
        try session.advance(7)
        return session.logits
      }
      let (session, rows) = try memory.start(asked, newTokens: 2)
      #expect(try answer(session) == answer(model.start(asked, newTokens: 2)), "\(rows) rows kept")
      memory.finish(session)
      return rows
    }
    let long =
      "Tell me which of them is the wider one, and why that is so, and whatever else you can see in both of them."
    #expect(try ask(["china.jpg", "flower_panorama.jpg"], long) == 0)
    #expect(try ask(["china.jpg", "flower_panorama.jpg"], "No, " + long) > 112)
    let alike = try ask(["china.jpg", "china.jpg"], long)
    #expect((50..<112).contains(alike))
    #expect(try ask(["flower_panorama.jpg", "china.jpg"], long) < 50)
  }

  @Test("elsewhere more than one picture, and one behind the first message, is refused by name")
  func refused() throws {
    let model = try Source.open(path: Fixtures.conformanceCheckpoint).model(
      compute: Compute(pool: ThreadPool(threads: 2)))
    let image = try model.encode(RGBImage(file: Fixtures.conformanceImages + "/flower_tiny.jpg"))
    let two = try Conversation(message: Conversation.Message("Which?", pictures: 2))
    let error = try #require(throws: GristError.self) { try model.prepare(two, images: [image, image]) }
    #expect(error.code == .usage && error.what == "this model takes one picture in a conversation")
    let late = try Conversation(
      history: [.init(user: "Hi", assistant: "Hello")], message: Conversation.Message("And this?", pictures: 1))
    let second = try #require(throws: GristError.self) { try model.prepare(late, images: [image]) }
    #expect(second.what == "this model takes a picture with the first message only")
  }

  @Test("a system message that a template passes over is refused")
  func system() throws {
    let silent = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    let options = SourceOptions(configuration: ConfigurationOptions(template: silent))
    let source = try Source.open(path: Fixtures.path("huggingface/mistral"), options: options)
    let format = try source.configuration().format
    let told = try Conversation(system: " Be brief.\n", message: Conversation.Message("Why?"))
    let error = try #require(throws: GristError.self) { try told.rendering(format) }
    #expect(error.code == .usage && error.what.contains("leaves out"))
    #expect(try Conversation(message: Conversation.Message("Why?")).rendering(format).text == "Why?")
  }
}

@Suite("Lists of messages and files of questions") struct MessageListTests {
  @Test("what a conversation's file may say, and what it may not")
  func files() throws {
    let folder = try TemporaryFolder()
    _ = try folder.copy(Fixtures.conformanceImages + "/flower_tiny.jpg", to: "a.jpg")
    func question(_ text: String) throws -> Question {
      try Question.read(conversation: folder.write("c.json", Array(text.utf8)))
    }
    let read = try question(
      #"""
      {"messages": [{"role": "system", "content": "Be brief."},
       {"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "image", "path": "a.jpg"}]},
       {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]}, {"role": "user", "content": "And?"}]}
      """#)
    #expect(read.system == "Be brief." && read.pictures.map(\.name) == ["a.jpg"] && read.prompt == "And?")
    #expect(read.history == [.init(user: .init(parts: [.text("Look:"), .picture]), assistant: "Yes.")])
    #expect(try question(#"[{"role": "user", "content": "Hi"}]"#).isPlain)
    func refusal(_ text: String) -> GristError? {
      #expect(throws: GristError.self) { try question(text) }
    }
    for (text, said) in [
      (#"{"message": []}"#, "\"message\" is no member of a conversation"), ("[]", "not empty"),
      (#"[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]"#, "messages[1]"),
      (#"[{"role": "user", "content": [{"type": "image"}]}]"#, "messages[0].content[0] needs a path"),
      (#"[{"role": "user", "content": [{"type": "image_url", "image_url": "https://example.org/a"}]}]"#, "not fetched"),
      (#"[{"role": "tool", "content": "a"}]"#, "\"tool\""), (#"[{"role": "user", "content": "<image>"}]"#, "<image>"),
    ] {
      let error = refusal(text)
      #expect(error?.description.contains(said) == true, "\(String(describing: error))")
      #expect(error?.file?.hasSuffix("c.json") == true)
    }
    #expect(refusal(#"[{"role": "user", "content": [{"type": "image", "path": "b.jpg"}]}]"#)?.code == .missingInput)
  }

  @Test("probes may hold messages")
  func probes() throws {
    let folder = try TemporaryFolder()
    let read = try Question.read(
      path: folder.write(
        "p.json",
        Array(#"[{"prompt": "Hi"}, {"messages": [{"role": "user", "content": "A"}], "answer": "B"}]"#.utf8)))
    #expect(read.map(\.prompt) == ["Hi", "A"] && read[1].answer == "B")
    let both = try folder.write("q.json", Array(#"[{"prompt": "Hi", "messages": []}]"#.utf8))
    #expect(throws: GristError.self) { try Question.read(path: both) }
  }
}
