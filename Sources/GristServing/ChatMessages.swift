import Foundation
import GristCore
import GristModel

/// A request's messages: finished exchanges, and one that waits for its answer.
struct ChatMessages {
  private(set) var picture: Bytes?
  private var texts: [(role: String, text: String)] = []

  init(_ value: JSONValue?) throws(ServingError) {
    guard let messages = value?.array, !messages.isEmpty else {
      throw .invalid("messages", "messages must be a list that is not empty")
    }
    for (index, message) in messages.enumerated() {
      let place = "messages[\(index)]"
      guard let object = message.object else { throw .invalid(place, "a message must be an object") }
      for name in object.names where !["role", "content", "name", "refusal", "annotations"].contains(name) {
        if object[name]?.isNull == true { continue }
        throw .unsupported("\(place).\(name)", "\(place).\(name) is not done here")
      }
      guard let role = object["role"]?.string else { throw .invalid("\(place).role", "a message needs a role") }
      guard role == "user" || role == "assistant" else {
        throw .unsupported(
          "\(place).role", "messages of the role \(role.debugDescription) have no place in this model's prompts")
      }
      texts.append((role, try text(object["content"], role: role, index: index)))
    }
    for (index, message) in texts.enumerated() where message.role != (index % 2 == 0 ? "user" : "assistant") {
      throw .invalid("messages[\(index)].role", "messages must come from user and assistant in turn, the user first")
    }
    guard texts.count % 2 == 1 else { throw .invalid("messages", "the last message must be the user's") }
  }

  private mutating func text(_ content: JSONValue?, role: String, index: Int) throws(ServingError) -> String {
    let place = "messages[\(index)].content"
    if let text = content?.string { return text }
    guard let parts = content?.array else { throw .invalid(place, "content must be a text or a list of parts") }
    var text: [String] = []
    for (number, part) in parts.enumerated() {
      let place = "\(place)[\(number)]"
      switch part["type"]?.string {
      case "text":
        guard let said = part["text"]?.string else { throw .invalid("\(place).text", "a text part needs a text") }
        text.append(said)
      case "image_url":
        guard role == "user" else { throw .unsupported(place, "pictures come with the user's messages") }
        try add(part["image_url"], index: index, "\(place).image_url")
      case let type:
        throw .unsupported("\(place).type", "parts of the type \((type ?? "").debugDescription) are not done here")
      }
    }
    return text.joined(separator: "\n")
  }

  private mutating func add(_ part: JSONValue?, index: Int, _ place: String) throws(ServingError) {
    guard picture == nil else { throw .unsupported(place, "more than one picture in a conversation is not done here") }
    guard index == 0 else { throw .unsupported(place, "a picture must come with the first message") }
    guard let url = part?["url"]?.string ?? part?.string else { throw .invalid(place, "image_url needs a url") }
    picture = try DataURL.bytes(url, place)
  }

  func conversation() throws(ServingError) -> Conversation {
    var history: [Conversation.Turn] = []
    for index in stride(from: 0, to: texts.count - 1, by: 2) {
      history.append(.init(user: texts[index].text, assistant: texts[index + 1].text))
    }
    do {
      return try Conversation(history: history, message: texts[texts.count - 1].text, hasImage: picture != nil)
    } catch {
      throw .invalid("messages", "a message spells out \(Conversation.imagePlaceholder), which stands for the picture")
    }
  }
}

/// A picture inside an address.
enum DataURL {
  /// Bytes of a picture that an address holds.
  ///
  /// - Throws: 400 for an address that is none, or leads elsewhere.
  static func bytes(_ url: String, _ place: String) throws(ServingError) -> Bytes {
    let place = "\(place).url"
    guard url.utf8.starts(with: "data:".utf8) else {
      throw .unsupported(place, "pictures at other addresses are not fetched: send a data: URL with base64")
    }
    guard let comma = url.utf8.firstIndex(of: UInt8(ascii: ",")) else {
      throw .invalid(place, "a data: URL needs a comma before its bytes")
    }
    let head = url.utf8[..<comma].split(separator: UInt8(ascii: ";"))
    guard head.last.map({ $0.elementsEqual("base64".utf8) }) == true else {
      throw .invalid(place, "a picture's data: URL must be base64")
    }
    let text = Data(url.utf8[url.utf8.index(after: comma)...])
    guard let data = Data(base64Encoded: text), !data.isEmpty else {
      throw .invalid(place, "the picture's base64 cannot be decoded")
    }
    return Bytes(Array(data))
  }
}
