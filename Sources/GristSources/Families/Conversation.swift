import GristCore
import GristTemplates

/// A prompt: what the model is told to be, finished exchanges, and a message that waits for its answer.
public struct Conversation: Sendable, Equatable {
  /// What a person says: texts, and pictures among them.
  public struct Message: Sendable, Equatable {
    public enum Part: Sendable, Equatable {
      case text(String)
      case picture
    }

    public let parts: [Part]

    public init(parts: [Part]) { self.parts = parts }

    /// A text, and pictures that come before it.
    public init(_ text: String, pictures: Int = 0) {
      parts = Array(repeating: .picture, count: pictures) + [.text(text)]
    }

    /// Its texts, a line each.
    public var text: String { texts.joined(separator: "\n") }
    /// How many pictures come with it.
    public var pictures: Int { parts.filter { $0 == .picture }.count }

    var texts: [String] { parts.compactMap { if case .text(let text) = $0 { text } else { nil } } }

    /// As one text, for templates that know no parts: a placeholder a line for each picture, the texts behind them.
    var flattened: String {
      String(repeating: ChatTemplate.placeholder + "\n", count: pictures) + text
    }
  }

  /// A finished exchange.
  public struct Turn: Sendable, Equatable {
    public let user: Message
    public let assistant: String

    public init(user: Message, assistant: String) {
      self.user = user
      self.assistant = assistant
    }

    public init(user: String, assistant: String) { self.init(user: Message(user), assistant: assistant) }
  }

  /// What stands for a picture in the text.
  public static let imagePlaceholder = ChatTemplate.placeholder
  /// What stands for a picture among the ids.
  public static let imageID = -200

  /// What the model is told to be; nil leaves it to the template.
  public let system: String?
  public let history: [Turn]
  public let message: Message
  /// What templates are told that write the day down; nil refuses them.
  public let clock: ChatProgram.Clock?

  /// - Throws: 64 when a text spells out the image placeholder itself.
  public init(
    system: String? = nil, history: [Turn] = [], message: Message, clock: ChatProgram.Clock? = nil
  ) throws {
    let said = history.flatMap { $0.user.texts + [$0.assistant] } + message.texts + [system].compactMap { $0 }
    for text in said where text.contains(bytesOf: Self.imagePlaceholder) {
      throw GristError(
        .usage, "the prompt spells out \(Self.imagePlaceholder), which stands for the image",
        advice: "leave it out: pictures are put where they belong")
    }
    self.system = system
    self.history = history
    self.message = message
    self.clock = clock
  }

  /// A conversation about one picture, which comes with its first message, or about none.
  ///
  /// - Throws: 64 when a text spells out the image placeholder itself.
  public init(history: [Turn] = [], message: String, hasImage: Bool, clock: ChatProgram.Clock? = nil) throws {
    let first = history.first.map {
      Turn(user: Message($0.user.text, pictures: hasImage ? 1 : 0), assistant: $0.assistant)
    }
    try self.init(
      history: (first.map { [$0] } ?? []) + history.dropFirst(),
      message: Message(message, pictures: hasImage && first == nil ? 1 : 0), clock: clock)
  }

  /// How many pictures it is about.
  public var pictures: Int { history.reduce(message.pictures) { $0 + $1.user.pictures } }
  /// Whether it is about a picture.
  public var hasImage: Bool { pictures > 0 }
  /// Whether its only picture, if it has one, comes with its first message.
  public var beginsWithPicture: Bool {
    pictures == 0 || pictures == 1 && (history.first?.user ?? message).pictures == 1
  }

  /// The prompt as one text.
  ///
  /// - Throws: What `ConversationFormat.rendering` throws.
  public func rendering(_ format: ConversationFormat) throws -> ConversationFormat.Rendering {
    try format.rendering(self)
  }
}
