import GristCore
import GristModel
import GristServing
import TestSupport
import Testing

@Suite("Requests for chat completions") struct ChatRequestTests {
  private func request(_ body: String) throws -> ChatRequest { try ChatRequest(body: Bytes(Array(body.utf8))) }

  private func refusal(_ body: String) -> ServingError? {
    #expect(throws: ServingError.self) { try request(body) }
  }

  private func asking(_ members: String) -> String {
    #"{"model": "m", "messages": [{"role": "user", "content": "Hi"}]"# + (members.isEmpty ? "" : ", " + members) + "}"
  }

  @Test("what clients send")
  func read() throws {
    let plain = try request(asking(""))
    #expect(plain.conversation.message == .init("Hi") && !plain.conversation.hasImage && plain.pictures.isEmpty)
    #expect(!plain.streams && plain.maxTokens == nil && plain.stops == [] && plain.topLogprobs == nil)
    #expect(plain.sampler.isGreedy)
    let full = try request(
      asking(
        #""stream": true, "stream_options": {"include_usage": true}, "max_tokens": 3, "stop": ["a", "\n"], "seed": 7, "temperature": 0.5, "top_p": 0.9, "logprobs": true, "top_logprobs": 2, "n": 1, "presence_penalty": 0, "user": "x", "response_format": {"type": "text"}, "tools": null"#
      ))
    #expect(full.streams && full.includesUsage && full.maxTokens == 3 && full.stops == ["a", "\n"])
    #expect(full.topLogprobs == 2 && full.sampler.temperature == 0.5)
    #expect(try request(asking(#""max_completion_tokens": 5, "max_tokens": 9"#)).maxTokens == 5)
    #expect(try request(asking(#""stop": "END""#)).stops == ["END"])
  }

  @Test("several turns, and parts")
  func turns() throws {
    let body = #"""
      {"messages": [
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AQID"}}]},
        {"role": "assistant", "content": "A cat.", "refusal": null},
        {"role": "user", "content": [{"type": "text", "text": "Is it"}, {"type": "text", "text": "red?"}]}
      ], "granularity": 144}
      """#
    let asked = try request(body)
    #expect(
      asked.conversation.history == [.init(user: .init(parts: [.text("What is it?"), .picture]), assistant: "A cat.")])
    #expect(asked.conversation.message.parts == [.text("Is it"), .text("red?")] && asked.conversation.pictures == 1)
    #expect(asked.pictures.map { $0.bytes?.array } == [[1, 2, 3]] && asked.granularity == .uniform(144))
  }

  @Test(
    "what is not done is refused by name",
    arguments: [
      (#""n": 2"#, "n"), (#""tools": [{"type": "function"}]"#, "tools"),
      (#""presence_penalty": 0.5"#, "presence_penalty"),
      (#""logit_bias": {"5": 1}"#, "logit_bias"), (#""response_format": {"type": "json_object"}"#, "response_format"),
      (#""colour": "red""#, "colour"), (#""audio": {}"#, "audio"),
      (#""stream_options": {"other": 1}"#, "stream_options.other"), (#""max_tokens": 0"#, "max_tokens"),
      (#""max_tokens": "5""#, "max_tokens"), (#""temperature": 3"#, "temperature"),
      (#""temperature": -1"#, "temperature"),
      (#""top_p": 1.5"#, "top_p"), (#""stop": [1]"#, "stop"), (#""stop": """#, "stop"),
      (#""stop": ["a","b","c","d","e"]"#, "stop"), (#""top_logprobs": 3"#, "top_logprobs"),
      (#""logprobs": true, "top_logprobs": 21"#, "top_logprobs"), (#""stream": 1"#, "stream"),
      (#""seed": 0.5"#, "seed"),
      (#""granularity": 72"#, "granularity"),
    ])
  func refused(members: String, parameter: String) {
    let error = refusal(asking(members))
    #expect(
      error?.status == 400 && error?.parameter == parameter && error?.message.contains(parameter.prefix(4)) == true)
  }

  @Test(
    "messages that no prompt can be made of",
    arguments: [
      (#"[]"#, "messages"), (#""Hi""#, "messages"), (#"[5]"#, "messages[0]"),
      (#"[{"content": "a"}]"#, "messages[0].role"),
      (#"[{"role": "tool", "content": "a"}]"#, "messages[0].role"),
      (#"[{"role": "user", "content": "a"}, {"role": "system", "content": "a"}]"#, "messages[1].role"),
      (#"[{"role": "system", "content": "a"}]"#, "messages"),
      (#"[{"role": "assistant", "content": "a"}]"#, "messages[0].role"),
      (#"[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]"#, "messages[1].role"),
      (#"[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]"#, "messages"),
      (#"[{"role": "user"}]"#, "messages[0].content"),
      (#"[{"role": "user", "content": [7]}]"#, "messages[0].content[0].type"),
      (#"[{"role": "user", "content": [{"type": "input_audio"}]}]"#, "messages[0].content[0].type"),
      (#"[{"role": "user", "content": "<image>"}]"#, "messages"),
      (#"[{"role": "user", "content": "a", "tool_calls": [1]}]"#, "messages[0].tool_calls"),
    ])
  func messages(value: String, parameter: String) {
    let error = refusal("{\"messages\": \(value)}")
    #expect(error?.status == 400 && error?.parameter == parameter, "\(String(describing: error))")
  }

  @Test(
    "pictures that are not there, or elsewhere",
    arguments: [
      ("https://example.org/a.jpg", "not fetched"), ("data:image/jpeg,abc", "base64"),
      ("data:image/jpeg;base64", "comma"),
      ("data:image/jpeg;base64,@@@", "decoded"), ("data:image/jpeg;base64,", "decoded"),
      ("file:///etc/passwd", "not fetched"),
    ])
  func pictures(url: String, said: String) {
    let part = #"{"type": "image_url", "image_url": {"url": "\#(url)"}}"#
    let error = refusal(#"{"messages": [{"role": "user", "content": [\#(part)]}]}"#)
    #expect(error?.status == 400 && error?.message.contains(said) == true)
    #expect(error?.parameter == "messages[0].content[0].image_url.url")
    let detail = #"{"type": "image_url", "image_url": {"url": "data:;base64,AQID", "detail": "low"}}"#
    #expect(
      refusal(#"{"messages": [{"role": "user", "content": [\#(detail)]}]}"#)?.parameter
        == "messages[0].content[0].image_url.detail")
    let file = #"{"type": "image", "path": "/etc/passwd"}"#
    #expect(refusal(#"{"messages": [{"role": "user", "content": [\#(file)]}]}"#)?.message.contains("not read") == true)
  }

  @Test("bodies that are no JSON", arguments: ["", "{", "[]", "\"a\"", "{\"messages\": [\u{0}]}"])
  func bodies(body: String) { #expect(refusal(body)?.code == "invalid_json") }

  @Test("errors have OpenAI's shape") func shape() {
    let json = ServingError(429, "wait", code: "queue_full").json
    #expect(json["error"]?["type"]?.string == "rate_limit_error" && json["error"]?["param"]?.isNull == true)
    #expect(ServingError(GristError(.badData, "damaged", file: "/secret/path")).message == "damaged")
  }
}
