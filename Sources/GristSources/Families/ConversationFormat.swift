import GristCore
import GristTemplates

/// How a conversation becomes one text.
public enum ConversationFormat: Sendable {
  /// One that this version brings, because someone asked for it.
  case builtIn(PromptTemplate)
  /// The family's, because the checkpoint brings none and nobody asked for another; with what in the checkpoint told
  /// which, if anything did.
  case familyDefault(PromptTemplate, sign: String? = nil)
  /// A program of the checkpoint's, or of whoever reads it.
  case program(ChatTemplate)
  /// The words alone, for models that were never taught to converse.
  case raw
  /// The checkpoint brings one that cannot be read; whoever asks for a text hears why. Weights are converted all the
  /// same.
  case unreadable(GristError)

  /// The name by which ``raw`` is asked for, where a template's name could stand.
  public static let rawName = "raw"

  /// A conversation as one text.
  public struct Rendering: Sendable, Equatable {
    public let text: String
    /// Whether the ids that every sequence begins with come before it. Transformers leaves them out where a template
    /// writes them itself, and before every text of a text-only model that has a template.
    public let takesPrefix: Bool
  }

  /// A conversation as one text.
  ///
  /// - Throws: 65 for a template that cannot be read or rendered, refuses the conversation, does not place its pictures,
  ///   or leaves out what the model is told to be.
  public func rendering(_ conversation: Conversation) throws -> Rendering {
    switch self {
    case .builtIn(let template), .familyDefault(let template, _):
      return Rendering(text: template.text(conversation), takesPrefix: true)
    case .raw:
      let words = conversation.history.flatMap { [$0.user.flattened, $0.assistant] }
      let all = [conversation.system].compactMap { $0 } + words + [conversation.message.flattened]
      return Rendering(text: all.joined(separator: "\n"), takesPrefix: true)
    case .program(let template): return try template.rendering(conversation)
    case .unreadable(let error): throw error
    }
  }

  /// The name of the template that this version brings; nil for any other.
  public var builtInTemplate: PromptTemplate? {
    switch self {
    case .builtIn(let template), .familyDefault(let template, _): template
    case .program, .raw, .unreadable: nil
    }
  }

  /// What whoever asks ought to hear: nil but for a family's default, which nobody chose.
  public var note: String? {
    guard case .familyDefault(let template, let sign) = self else { return nil }
    return "asked as \(template.rawValue) asks, "
      + (sign.map { "as \($0)" } ?? "its family's way: the model brings no template")
  }

  /// The template that the checkpoint told by what a file does not keep, for the file to keep; nil where there is none.
  public var toldTemplate: PromptTemplate? {
    if case .familyDefault(let template, _?) = self { template } else { nil }
  }

  /// What it is, in a word: a template's name, `raw`, or `own` for one that came with the model or with whoever reads
  /// it.
  public var name: String {
    switch self {
    case .builtIn(let template), .familyDefault(let template, _): template.rawValue
    case .program, .unreadable: "own"
    case .raw: Self.rawName
    }
  }
}
