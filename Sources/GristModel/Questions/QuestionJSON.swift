import GristCore
import GristSources

// How records and digests write a question down, pictures by their names.

extension Question {
  /// What was said: `system`, and `turns` of `user` and `assistant`, the last without an answer. A message of one text is
  /// that text; another is a list of texts and of `{"type": "image"}`. The picture of a plain question is not among them:
  /// it comes first.
  package var turns: (system: JSONValue, turns: JSONValue) {
    if isPlain { return (.null, [["user": JSONValue(prompt)]]) }
    let said = history.map { turn -> JSONValue in ["user": turn.user.json, "assistant": JSONValue(turn.assistant)] }
    return (system.map { JSONValue($0) } ?? .null, .array(said + [["user": message.json]]))
  }

  /// - Parameters:
  ///   - json: holds `turns`, and may hold `system`.
  ///   - pictures: in the conversation's order.
  ///
  /// - Throws: 65 where they do not fit together.
  package init(_ json: JSONReader, pictures: [Picture]) throws {
    let turns = try json.objects("turns")
    let system = json.has("system") ? try json.string("system") : nil
    guard let last = turns.last, !last.has("assistant") else {
      throw json.failure("turns", "exchanges, and at the end a question without an answer")
    }
    if system == nil, turns.count == 1, pictures.count < 2, let prompt = last.value("user")?.string {
      self.init(pictures: pictures, prompt: prompt)
      return
    }
    let history = try turns.dropLast().map {
      Conversation.Turn(user: try Conversation.Message($0, "user"), assistant: try $0.string("assistant"))
    }
    self.init(
      pictures: pictures, system: system, history: history, message: try Conversation.Message(last, "user"))
    guard history.reduce(message.pictures, { $0 + $1.user.pictures }) == pictures.count else {
      throw json.failure("turns", "a place for each of the \(pictures.count) pictures")
    }
  }
}

extension Conversation.Message {
  fileprivate var json: JSONValue {
    if parts == [.text(text)] { return JSONValue(text) }
    return .array(
      parts.map { part in
        switch part {
        case .text(let text): ["type": "text", "text": JSONValue(text)]
        case .picture: ["type": "image"]
        }
      })
  }

  fileprivate init(_ json: JSONReader, _ key: String) throws {
    if let text = json.value(key)?.string {
      self.init(text)
      return
    }
    self.init(
      parts: try json.objects(key).map {
        switch try $0.string("type") {
        case "text": .text(try $0.string("text"))
        case "image": .picture
        default: throw $0.failure("type", "text or image")
        }
      })
  }
}
