import GristCheckpoints
import GristCore

/// How a conversation becomes one text, `<image>` standing for the picture.
public enum PromptTemplate: String, Sendable, CaseIterable {
  /// Upstream's `vicuna_v1`: a system message, then `USER: … ASSISTANT:`; answers end in `</s>`.
  case vicuna
  /// `USER: … ASSISTANT:` without a system message: llava-hf's LLaVA-1.5.
  case llava
  /// `[INST] … [/INST]`: Mistral's LLaVA-NeXT.
  case mistral

  private static let vicunaSystem =
    "A chat between a curious user and an artificial intelligence assistant. "
    + "The assistant gives helpful, detailed, and polite answers to the user's questions."

  /// The text of finished exchanges and a last message that waits for its answer. `image`, where there is one, stands
  /// before the first message.
  public func text(history: [(user: String, assistant: String)], message: String, image: String?) -> String {
    let placeholder = image.map { $0 + "\n" } ?? ""
    let users = history.map(\.user) + [message]
    let asked = users.enumerated().map { $0.offset == 0 ? placeholder + $0.element : $0.element }
    let answers = history.map(\.assistant)
    switch self {
    case .vicuna:
      let turns = zip(asked, answers).map { "USER: \($0) ASSISTANT: \($1)</s>" }.joined()
      return Self.vicunaSystem + " " + turns + "USER: \(asked[answers.count]) ASSISTANT:"
    case .llava:
      let turns = zip(asked, answers).map { "USER: \($0) ASSISTANT: \($1) " }.joined()
      return turns + "USER: \(asked[answers.count]) ASSISTANT:"
    case .mistral:
      let turns = zip(asked, answers).map { "[INST] \($0) [/INST] \($1)</s>" }.joined()
      return turns + "[INST] \(asked[answers.count]) [/INST]"
    }
  }
}

extension PromptTemplate {
  /// The template that a checkpoint's own `chat_template` is, which is a program in Jinja. Only those that LLaVA
  /// checkpoints ship are known, by their digests; nothing of a stranger's is run. Nil when the checkpoint has none.
  ///
  /// Throws 65 for another one, unless `chat_template` is among the keys that are passed over on purpose.
  static func ofChatTemplate(_ files: SideFiles) throws -> PromptTemplate? {
    guard let (text, place) = try chatTemplate(files) else { return nil }
    if let known = byDigest[Checkpoint.sha256(Bytes(Array(stripped(text).utf8)))] { return known }
    if files.ignoredKeys.contains("chat_template") { return nil }
    throw GristError(
      .badData, "a chat template that this version cannot render", file: place,
      advice: "pass --ignore-key chat_template to ask as llava-hf's LLaVA-1.5 is asked: USER: … ASSISTANT:")
  }

  /// SHA-256 of templates without blanks, comments and the marks for training masks.
  private static let byDigest: [String: PromptTemplate] = [:]

  private static func chatTemplate(_ files: SideFiles) throws -> (text: String, place: String)? {
    if let bytes = try files.bytes("chat_template.jinja") {
      let place = joinPath(files.path, "chat_template.jinja")
      guard let text = bytes.utf8 else { throw GristError(.badData, "the chat template must be UTF-8", file: place) }
      return (text, place)
    }
    for name in ["chat_template.json", "processor_config.json", "tokenizer_config.json"] {
      if let json = try files.json(name), json.has("chat_template") {
        return (try json.string("chat_template"), json.file)
      }
    }
    return nil
  }

  /// A template without what does not show: blanks outside of quotes, comments, `generation` tags.
  static func stripped(_ text: String) -> String {
    var rest = text[...]
    var kept = ""
    while let open = rest.firstRange(of: "{#") {
      kept += rest[..<open.lowerBound]
      guard let close = rest[open.upperBound...].firstRange(of: "#}") else { break }
      rest = rest[close.upperBound...]
    }
    kept += rest
    var result = ""
    var quote: Character?
    for character in kept {
      if let open = quote {
        if character == open { quote = nil }
      } else if character == "'" || character == "\"" {
        quote = character
      } else if character.isWhitespace {
        continue
      }
      result.append(character)
    }
    for tag in ["{%generation%}", "{%endgeneration%}"] {
      result = result.split(separator: tag, omittingEmptySubsequences: false).joined()
    }
    return result
  }
}
