import Foundation
import GristConversion
import GristCore
import GristKernels
import GristModel
import GristServing
import GristSources
import MetricsTestKit
import TestSupport
import Testing

@Suite("Answering many clients") struct EngineTests {
  private let folder: TemporaryFolder
  private let path: String
  private static let china = Fixtures.conformanceImages + "/china.jpg"
  private let metrics = TestMetrics()

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

  private func model() throws -> VisionLanguageModel {
    try Source.open(path: path).model(compute: Compute(pool: ThreadPool(threads: 2)))
  }

  private func engine(parallel: Int = 1, queue: Int = 64) async throws -> Engine {
    var limits = Engine.Limits()
    (limits.parallel, limits.queue) = (parallel, queue)
    let path = path
    let engine = try Engine(limits: limits, metrics: metrics) {
      try Source.open(path: path).model(compute: Compute(pool: ThreadPool(threads: 2)))
    }
    for _ in 0..<500 {
      if case .ready = engine.state { return engine }
      try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("the model is not there")
    return engine
  }

  private func request(_ text: String, picture: Bool = false, _ members: String = "\"max_tokens\": 12") throws
    -> ChatRequest
  {
    let image =
      try picture
      ? #", {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,\#(Data(readFile(Self.china).array).base64EncodedString())"}}"#
      : ""
    return try ChatRequest(
      body: Bytes(
        Array(
          #"{"messages": [{"role": "user", "content": [{"type": "text", "text": "\#(text)"}\#(image)]}], \#(members)}"#
            .utf8)))
  }

  private struct Heard {
    var beginning: AnswerBeginning?
    var ending: AnswerEnding?
    var text = ""
    var pieces = 0
    var logprobs: [TokenLogprob] = []
  }

  private func hear(_ engine: Engine, _ request: ChatRequest, client: String = "a") async throws -> Heard {
    var heard = Heard()
    for try await event in try engine.ask(request, client: client) {
      switch event {
      case .began(let beginning): heard.beginning = beginning
      case .piece(let text, let logprob):
        heard.text += text
        heard.pieces += 1
        if let logprob { heard.logprobs.append(logprob) }
      case .ended(let ending): heard.ending = ending
      }
    }
    return heard
  }

  private static let questions = [
    ("What is in the picture?", true), ("Hi", false), ("Is it red, or another colour?", true), ("1 2 3 1 2 3", false),
    ("What is in the picture?", true), ("Tell me about the weather in Paris, please.", false),
  ]

  /// What `run` answers.
  private func expected() throws -> [[Int]] {
    let model = try model()
    return try Self.questions.map { text, hasPicture in
      let image = try hasPicture ? model.encode(model.picture(encoded: readFile(Self.china), name: "china")) : nil
      let prompt = try model.prepare(Conversation(message: text, hasImage: hasPicture), image: image)
      return try model.answer(prompt, maxNewTokens: 12, sampler: Sampler()).tokens
    }
  }

  @Test("every answer is the one that run gives, one by one and several at a time", arguments: [1, 4])
  func answers(parallel: Int) async throws {
    let engine = try await engine(parallel: parallel)
    defer { engine.stop() }
    let expected = try expected()
    for round in 0..<2 {
      let answers = try await withThrowingTaskGroup(of: (Int, Heard).self) { group in
        for (index, question) in Self.questions.enumerated() {
          let asked = try request(question.0, picture: question.1)
          group.addTask { (index, try await hear(engine, asked, client: "client \(index % 3)")) }
        }
        var answers: [Int: Heard] = [:]
        for try await (index, heard) in group { answers[index] = heard }
        return answers
      }
      for (index, tokens) in expected.enumerated() {
        #expect(answers[index]?.ending?.tokens == tokens, "round \(round), question \(index)")
      }
      if round == 1 {
        #expect(answers[0]?.beginning?.pictureWasKept == true && (answers[0]?.beginning?.keptRows ?? 0) > 200)
        #expect(answers[0]?.beginning?.decision != nil && answers[0]?.beginning?.grid != nil)
      }
    }
    func counted(_ name: String) throws -> Int64 { try metrics.expectCounter("gristmill_\(name)").totalValue }
    #expect(try counted("requests") == 12 && counted("images") == 6 && counted("kept_images") >= 3)
    #expect(try counted("failures") == 0 && metrics.expectTimer("gristmill_prefill").values.count == 12)
    #expect(try metrics.expectGauge("gristmill_requests_waiting").lastValue == 0)
    for _ in 0..<300 where engine.load.running > 0 { try await Task.sleep(for: .milliseconds(10)) }
    #expect(engine.load == (0, 0))
  }

  @Test("a sampled answer is the one that run draws; logprobs are those of the logits")
  func sampled() async throws {
    let engine = try await engine()
    defer { engine.stop() }
    let model = try model()
    let prompt = try model.prepare(Conversation(message: "Hi", hasImage: false), image: nil)
    let expected = try model.answer(
      prompt, maxNewTokens: 12, sampler: Sampler(temperature: 1, topP: 0.9, seed: 5))
    let heard = try await hear(
      engine,
      request(
        "Hi", #""max_tokens": 12, "temperature": 1, "top_p": 0.9, "seed": 5, "logprobs": true, "top_logprobs": 3"#))
    #expect(heard.ending?.tokens == expected.tokens && heard.text == expected.text)
    #expect(heard.logprobs.count == expected.tokens.count && heard.logprobs.allSatisfy { $0.top.count == 3 })
    let first = expected.firstLogits.map(Double.init)
    let normalizer = Foundation.log(first.reduce(0) { $0 + Foundation.exp($1) })
    #expect(abs((heard.logprobs.first?.logprob ?? 0) - (first[expected.tokens[0]] - normalizer)) < 1e-6)
    #expect(heard.logprobs.allSatisfy { $0.top[0].logprob >= $0.logprob && $0.top[0].logprob >= $0.top[1].logprob })
  }

  @Test("an answer ends before a stop, and says why it ended")
  func stops() async throws {
    let engine = try await engine()
    defer { engine.stop() }
    let whole = try await hear(engine, request("Hi"))
    #expect(whole.ending?.reason == "length" && whole.text.count > 4)
    let stop = String(whole.text.dropFirst(3).prefix(2))
    let json = JSONValue(stop).text(pretty: false)
    let stopped = try await hear(engine, request("Hi", #""max_tokens": 12, "stop": \#(json)"#))
    let range = try #require(whole.text.range(of: stop))
    #expect(stopped.text == String(whole.text[..<range.lowerBound]) && stopped.ending?.reason == "stop")
  }

  @Test("who goes away is not answered any more; too many have to wait elsewhere")
  func leaving() async throws {
    let engine = try await engine(queue: 2)
    defer { engine.stop() }
    let long = try request("Hi", #""max_tokens": 2000"#)
    do {
      let stream = try engine.ask(long, client: "a")
      for try await event in stream {
        if case .piece = event { break }
      }
    }
    for _ in 0..<300 where engine.load.running > 0 { try await Task.sleep(for: .milliseconds(10)) }
    #expect(try engine.load.running == 0 && metrics.expectCounter("gristmill_answer_tokens").totalValue < 1900)
    // Asked faster than the first is answered.
    var streams: [AsyncThrowingStream<AnswerEvent, any Error>] = []
    let error = #expect(throws: ServingError.self) {
      for _ in 0..<1000 { streams.append(try engine.ask(long, client: "a")) }
    }
    #expect(error?.status == 429 && (2...20).contains(streams.count))
  }

  @Test(
    "a picture that is none, a prompt that is too long, and a granularity there is not: 400, and the next is answered")
  func failures() async throws {
    let engine = try await engine()
    defer { engine.stop() }
    let broken = try ChatRequest(
      body: Bytes(
        Array(
          #"{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:;base64,AQID"}}]}]}"#
            .utf8)))
    let asked = [
      broken, try request(String(repeating: "long ", count: 5000)),
      try request("Hi", picture: true, "\"granularity\": 5"),
    ]
    for request in asked {
      let error = await #expect(throws: ServingError.self) { try await hear(engine, request) }
      #expect(error?.status == 400)
    }
    #expect(try await hear(engine, request("Hi")).ending != nil)
  }

  @Test("a model that cannot be opened is said so") func loading() async throws {
    let engine = try Engine { throw GristError(.badData, "damaged") }
    defer { engine.stop() }
    for _ in 0..<300 {
      if case .failed = engine.state { break }
      try await Task.sleep(for: .milliseconds(10))
    }
    let error = try #expect(throws: ServingError.self) { try engine.ask(request("Hi"), client: "a") }
    #expect(error?.status == 503)
  }

  @Test("completions have OpenAI's form, whole and in pieces")
  func documents() async throws {
    let engine = try await engine()
    defer { engine.stop() }
    let asked = try request(
      "What is it?", picture: true, #""max_tokens": 4, "logprobs": true, "stream_options": {"include_usage": true}"#)
    var completion = ChatCompletion(id: "chatcmpl-1", created: 5, model: "m", for: asked)
    var pieces: [JSONValue] = []
    var whole = JSONValue.null
    for try await event in try engine.ask(asked, client: "a") {
      pieces += completion.pieces(for: event)
      if case .ended(let ending) = event { whole = completion.whole(ending) }
    }
    #expect(whole["model"]?.string == "m" && pieces.allSatisfy { $0["model"]?.string == "m" })
    let message = whole["choices"]?.array?.first
    #expect(message?["message"]?["role"]?.string == "assistant" && message?["finish_reason"]?.string == "length")
    let deltas = pieces.compactMap { $0["choices"]?.array?.first?["delta"]?["content"]?.string }
    #expect(deltas.joined() == message?["message"]?["content"]?.string)
    #expect(message?["logprobs"]?["content"]?.array?.count == 4)
    #expect(
      whole["usage"]?["completion_tokens"]?.integer == 4
        && pieces.last?["usage"]?["total_tokens"] == whole["usage"]?["total_tokens"])
    #expect(whole["usage"]?["prompt_tokens_details"]?["image_tokens"]?.integer ?? 0 > 100)
    #expect(whole["gristmill"]?["router"]?["choice"]?.integer == whole["gristmill"]?["granularity"]?.integer)
    #expect(whole["gristmill"]?["grid"]?["width"]?.integer == 640)
  }
}

@Suite("Talking to one model") struct ChatTests {
  @Test("every turn is answered as the whole conversation is, and what was read is not read again")
  func turns() throws {
    let folder = try TemporaryFolder()
    let compute = Compute(pool: try ThreadPool(threads: 2))
    var options = Conversion.Options()
    options.calibration = CalibrationMode.none
    try Conversion(Source.open(path: Fixtures.conformanceCheckpoint), options: options, pool: compute.pool)
      .run(to: AtomicFile(path: folder.file("m.grist"), kind: .grist))
    let model = try Source.open(path: folder.file("m.grist")).model(compute: compute)
    let chat = Chat(model, maxNewTokens: 8, sampler: try Sampler())
    let path = Fixtures.conformanceImages + "/china.jpg"
    try chat.show(.init(name: path, bytes: readFile(path)))
    let image = try model.encode(model.picture(encoded: readFile(path), name: path))
    for question in ["What is in the picture?", "Is it red?", "And now?"] {
      let expected = try model.answer(
        model.prepare(
          Conversation(history: chat.turns, message: .init(question, pictures: chat.turns.isEmpty ? 1 : 0)),
          image: image),
        maxNewTokens: 8, sampler: Sampler())
      var heard = ""
      let kept = chat.turns.isEmpty
      let reply = try chat.ask(question) { heard += $0 }
      #expect(reply.text == expected.text && heard == expected.text)
      #expect(kept ? reply.keptRows == 0 : reply.keptRows > 200)
    }
    chat.restart()
    #expect(chat.turns.isEmpty)
    #expect(try chat.ask("Hi") { _ in }.decision == nil)
  }
}
