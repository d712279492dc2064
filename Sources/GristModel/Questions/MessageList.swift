import Foundation
import GristCore
import GristSources

/// A conversation as clients write it: a list of messages, each with a role and a content, which is a text or a list of
/// parts. A picture is a part of a user's message: `{"type": "image", "path": "china.jpg"}`, as transformers has it, or
/// `{"type": "image_url", "image_url": {"url": "data:…"}}`, as OpenAI has it.
public struct MessageList: Sendable {
  /// What is wrong with a list, and where.
  public struct Fault: Error, Equatable {
    /// As in `messages[0].content[1]`.
    public let place: String
    /// A sentence that names the place.
    public let sentence: String
    /// Whether it is something sensible that is not done here.
    public let isUnsupported: Bool

    static func invalid(_ place: String, _ sentence: String) -> Fault {
      Fault(place: place, sentence: sentence, isUnsupported: false)
    }

    static func unsupported(_ place: String, _ sentence: String) -> Fault {
      Fault(place: place, sentence: sentence, isUnsupported: true)
    }
  }

  /// A picture, and where the list names it.
  public struct Picture: Sendable, Equatable {
    public enum Source: Sendable, Equatable {
      case file(String)
      case address(String)
    }

    public let source: Source
    public let place: String
  }

  public private(set) var system: String?
  public private(set) var history: [Conversation.Turn] = []
  public private(set) var message = Conversation.Message("")
  /// In the conversation's order.
  public private(set) var pictures: [Picture] = []

  private enum Role { case system, user, assistant }

  /// Members of a message that say nothing to the model.
  private static let silent: Set<String> = ["name", "refusal", "annotations"]

  public init(_ value: JSONValue?) throws(Fault) {
    guard let messages = value?.array, !messages.isEmpty else {
      throw .invalid("messages", "messages must be a list that is not empty")
    }
    var asked: Conversation.Message?
    for (index, message) in messages.enumerated() {
      let place = "messages[\(index)]"
      let (role, content) = try read(message, place)
      switch role {
      case .system:
        guard index == 0 else { throw .unsupported("\(place).role", "\(place): a system message must be the first") }
        guard content.pictures == 0 else { throw .unsupported(place, "\(place): pictures come with a user's messages") }
        system = content.text
      case .user:
        guard asked == nil else { throw Self.order(place) }
        asked = content
      case .assistant:
        guard let user = asked else { throw Self.order(place) }
        history.append(Conversation.Turn(user: user, assistant: content.text))
        asked = nil
      }
    }
    guard let asked else { throw .invalid("messages", "the last message must be the user's") }
    message = asked
  }

  private static func order(_ place: String) -> Fault {
    .invalid("\(place).role", "\(place): messages must come from user and assistant in turn, the user first")
  }

  private mutating func read(_ message: JSONValue, _ place: String) throws(Fault) -> (Role, Conversation.Message) {
    guard let object = message.object else { throw .invalid(place, "\(place) must be an object") }
    for name in object.names where !(Self.silent.contains(name) || name == "role" || name == "content") {
      if object[name]?.isNull == true { continue }
      throw .unsupported("\(place).\(name)", "\(place).\(name) is not done here")
    }
    guard let name = object["role"]?.string else { throw .invalid("\(place).role", "\(place) needs a role") }
    let roles: [String: Role] = ["system": .system, "developer": .system, "user": .user, "assistant": .assistant]
    guard let role = roles[name] else {
      throw .unsupported("\(place).role", "messages of the role \(name.debugDescription) are not done here")
    }
    return (role, try read(object["content"], role, "\(place).content"))
  }

  private mutating func read(
    _ content: JSONValue?, _ role: Role, _ place: String
  ) throws(Fault) -> Conversation.Message {
    if let text = content?.string { return Conversation.Message(text) }
    guard let parts = content?.array else { throw .invalid(place, "\(place) must be a text or a list of parts") }
    var read: [Conversation.Message.Part] = []
    for (index, part) in parts.enumerated() {
      let place = "\(place)[\(index)]"
      let type = part["type"]?.string
      if type == "image_url" || type == "image" {
        guard role == .user else { throw .unsupported(place, "\(place): pictures come with a user's messages") }
        pictures.append(Picture(source: try source(part, place), place: place))
        read.append(.picture)
      } else if type == "text" {
        guard let text = part["text"]?.string else { throw .invalid("\(place).text", "\(place) needs a text") }
        read.append(.text(text))
      } else {
        throw .unsupported("\(place).type", "parts of the type \((type ?? "").debugDescription) are not done here")
      }
    }
    return Conversation.Message(parts: read)
  }

  private func source(_ part: JSONValue, _ place: String) throws(Fault) -> Picture.Source {
    if part["type"]?.string == "image" {
      guard let path = part["path"]?.string else { throw .invalid("\(place).path", "\(place) needs a path") }
      return .file(path)
    }
    let named = part["image_url"]
    guard let url = named?["url"]?.string ?? named?.string else {
      throw .invalid("\(place).image_url", "\(place).image_url needs a url")
    }
    if let detail = named?["detail"], !detail.isNull, detail != "auto" {
      throw .unsupported(
        "\(place).image_url.detail",
        "\(place).image_url.detail is not done here, but for \"auto\": ask for a granularity")
    }
    return .address(url)
  }
}

/// A picture inside an address.
public enum DataURL {
  /// What is wrong with an address.
  public struct Fault: Error, Equatable {
    public let sentence: String
  }

  /// Bytes that an address beginning with `data:` holds.
  public static func bytes(_ url: String) throws(Fault) -> Bytes {
    guard let comma = url.utf8.firstIndex(of: UInt8(ascii: ",")) else {
      throw Fault(sentence: "a data: URL needs a comma before its bytes")
    }
    let head = url.utf8[..<comma].split(separator: UInt8(ascii: ";"))
    guard head.last.map({ $0.elementsEqual("base64".utf8) }) == true else {
      throw Fault(sentence: "a picture's data: URL must be base64")
    }
    let text = Data(url.utf8[url.utf8.index(after: comma)...])
    guard let data = Data(base64Encoded: text), !data.isEmpty else {
      throw Fault(sentence: "the picture's base64 cannot be decoded")
    }
    return Bytes(Array(data))
  }
}
