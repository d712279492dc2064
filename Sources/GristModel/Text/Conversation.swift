import GristCore
import GristSources
import GristTemplates

/// A prompt: finished exchanges, and a message that waits for its answer.
public struct Conversation: Sendable, Equatable {
  /// A finished exchange.
  public struct Turn: Sendable, Equatable {
    public let user: String
    public let assistant: String

    public init(user: String, assistant: String) {
      self.user = user
      self.assistant = assistant
    }
  }

  /// What stands for the image in the text.
  public static let imagePlaceholder = ChatTemplate.placeholder
  /// What stands for the image among the ids.
  public static let imageID = -200

  public let history: [Turn]
  public let message: String
  /// Whether an image comes with the first message.
  public let hasImage: Bool
  /// What templates are told that write the day down; nil refuses them.
  public let clock: ChatProgram.Clock?

  /// - Throws: 64 when the texts spell out the image placeholder themselves.
  public init(history: [Turn] = [], message: String, hasImage: Bool, clock: ChatProgram.Clock? = nil) throws {
    for text in history.flatMap({ [$0.user, $0.assistant] }) + [message]
    where text.contains(bytesOf: Self.imagePlaceholder) {
      throw GristError(
        .usage, "the prompt spells out \(Self.imagePlaceholder), which stands for the image",
        advice: "leave it out: the image is put before the first message")
    }
    self.history = history
    self.message = message
    self.hasImage = hasImage
    self.clock = clock
  }

  /// The prompt as one text.
  ///
  /// - Throws: What `ConversationFormat.rendering` throws.
  public func rendering(_ format: ConversationFormat) throws -> ConversationFormat.Rendering {
    try format.rendering(
      history: history.map { ($0.user, $0.assistant) }, message: message, image: hasImage ? Self.imagePlaceholder : nil,
      clock: clock)
  }

  /// The prompt's ids: what every sequence begins with, then each part between image placeholders, ``imageID`` between.
  ///
  /// - Throws: What rendering and the tokenizer throw.
  public func inputIDs(_ tokenizer: some Tokenizer, _ format: ConversationFormat) throws -> [Int] {
    let rendering = try rendering(format)
    var ids = rendering.takesPrefix ? tokenizer.prefix : []
    let parts = rendering.text.split(atBytesOf: Self.imagePlaceholder)
    for (index, part) in parts.enumerated() {
      if index > 0 { ids.append(Self.imageID) }
      ids += try tokenizer.encode(part, isStart: index == 0)
    }
    return ids
  }
}
