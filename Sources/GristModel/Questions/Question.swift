import GristCore
import GristSources
import GristTemplates

/// A question to ask a model, with the pictures it is about.
public struct Question: Sendable, Equatable {
  public struct Picture: Sendable, Equatable {
    /// As a person would name it.
    public let name: String
    /// The file: JPEG, PNG or WebP.
    public let bytes: Bytes

    public init(name: String, bytes: Bytes) { (self.name, self.bytes) = (name, bytes) }

    public static func == (a: Picture, b: Picture) -> Bool { a.name == b.name }
  }

  /// In the conversation's order.
  public let pictures: [Picture]
  /// What the model is told to be; nil leaves it to the template.
  public let system: String?
  /// Finished exchanges before the question.
  public let history: [Conversation.Turn]
  public let message: Conversation.Message
  /// What was answered, for those who calibrate with it.
  public let answer: String?

  public init(
    pictures: [Picture], system: String? = nil, history: [Conversation.Turn] = [], message: Conversation.Message,
    answer: String? = nil
  ) {
    (self.pictures, self.system, self.history) = (pictures, system, history)
    (self.message, self.answer) = (message, answer)
  }

  /// A question about some pictures, which come before it.
  public init(pictures: [Picture] = [], prompt: String, answer: String? = nil) {
    self.init(pictures: pictures, message: Conversation.Message(prompt, pictures: pictures.count), answer: answer)
  }

  /// Reads the pictures from their files.
  ///
  /// - Throws: 66 when one is not there.
  public init(imagePaths: [String], prompt: String) throws {
    self.init(
      pictures: try imagePaths.map {
        Picture(name: fileName(of: $0), bytes: try readFile($0, limit: Self.pictureLimit))
      },
      prompt: prompt)
  }

  /// Bytes of a picture's file, at most.
  static let pictureLimit = 1 << 28

  /// What is asked, without what came before it.
  public var prompt: String { message.text }
  /// The pictures' names; nil for a question without any.
  public var image: String? { pictures.isEmpty ? nil : pictures.map(\.name).joined(separator: ", ") }
  /// Whether it is one message with one picture before it, or with none.
  public var isPlain: Bool {
    system == nil && history.isEmpty && pictures.count < 2
      && message == Conversation.Message(prompt, pictures: pictures.count)
  }

  /// The conversation that ends in the question.
  ///
  /// - Throws: 64 when a text spells out the image placeholder.
  public func conversation(clock: ChatProgram.Clock?) throws -> Conversation {
    try Conversation(system: system, history: history, message: message, clock: clock)
  }
}
