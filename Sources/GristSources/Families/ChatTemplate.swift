import GristCore
import GristTemplates

/// A chat template with what it is told beside the conversation.
public struct ChatTemplate: Sendable {
  /// The program, in Jinja's language.
  public let text: String
  /// The file that holds it, for messages.
  public let place: String
  /// `bos_token` and the like, by name.
  let tokens: JSONObject
  /// Whether the model sees pictures, and its texts go through transformers' processor.
  let seesPictures: Bool

  /// How a message's content is given.
  private enum Content {
    /// One text, the picture's placeholder in it.
    case text
    /// A list of parts, as transformers' processors take it.
    case parts
  }

  func rendering(_ conversation: Conversation) throws -> ConversationFormat.Rendering {
    let program = try ChatProgram(text, file: place)
    guard seesPictures else {
      let text = try render(program, conversation, .text)
      try requireSystem(of: conversation, in: text)
      return ConversationFormat.Rendering(text: text, takesPrefix: false)
    }
    let text = try render(program, conversation, try content(program, conversation.clock))
    let places = Self.pictures(in: text)
    guard places == conversation.pictures else {
      throw GristError(
        .badData,
        conversation.pictures < 2
          ? "the chat template must place the picture once" : "the chat template must place every picture once",
        file: place, found: "\(places) places" + (conversation.pictures < 2 ? "" : " for \(conversation.pictures)"),
        advice: "pass another template with --template")
    }
    try requireSystem(of: conversation, in: text)
    let begins = tokens["bos_token"]?.string.map { !$0.isEmpty && text.utf8.starts(with: $0.utf8) } ?? false
    return ConversationFormat.Rendering(text: text, takesPrefix: !begins)
  }

  /// Many templates pass over roles that they do not know.
  private func requireSystem(of conversation: Conversation, in text: String) throws {
    guard let system = conversation.system?.strippedAsPython(), !text.contains(bytesOf: system) else { return }
    throw GristError(
      .usage, "the chat template leaves out what the model is told to be", file: place,
      advice: "leave the system message out, or pass another template with --template")
  }

  /// What templates write where a picture stands.
  public static let placeholder = "<image>"

  /// How many pictures a text has a place for, whatever joins what stands behind them.
  private static func pictures(in text: String) -> Int { text.split(atBytesOf: placeholder).count - 1 }

  /// Which content the template takes: parts, or where it does not know them, text.
  private func content(_ program: ChatProgram, _ clock: ChatProgram.Clock?) throws -> Content {
    func takes(_ content: Content) throws -> Bool {
      let asked = try Conversation(message: Conversation.Message("?", pictures: 1), clock: clock)
      let text = try render(program, asked, content)
      return Self.pictures(in: text) == 1 && text.contains(bytesOf: "?") && !text.contains(bytesOf: "'type'")
    }
    let parts = Result { try takes(.parts) }
    if (try? parts.get()) == true { return .parts }
    if (try? takes(.text)) == true { return .text }
    _ = try parts.get()
    throw GristError(
      .badData, "the chat template has no place for a picture", file: place,
      advice: "pass another template with --template")
  }

  private func render(_ program: ChatProgram, _ conversation: Conversation, _ content: Content) throws -> String {
    func entry(_ role: String, _ message: Conversation.Message) -> JSONValue {
      switch content {
      case .text: return ["role": JSONValue(role), "content": JSONValue(message.flattened)]
      case .parts:
        let parts = message.parts.map { part -> JSONValue in
          switch part {
          case .text(let text): ["type": "text", "text": JSONValue(text)]
          case .picture: ["type": "image"]
          }
        }
        return ["role": JSONValue(role), "content": .array(parts)]
      }
    }
    var messages = conversation.system.map { [entry("system", Conversation.Message($0))] } ?? []
    for turn in conversation.history {
      messages.append(entry("user", turn.user))
      messages.append(entry("assistant", Conversation.Message(turn.assistant)))
    }
    messages.append(entry("user", conversation.message))
    var names = tokens
    names["messages"] = .array(messages)
    names["add_generation_prompt"] = true
    names["tools"] = .null
    names["documents"] = .null
    return try program.render(names, clock: conversation.clock)
  }
}

extension SideFiles {
  /// How a conversation is written down: as asked, or as the checkpoint's own chat template has it, or where it has
  /// none, as its family does.
  ///
  /// - Parameter seesPictures: whether the model does.
  ///
  /// - Throws: 65 for a name that this version does not know. What is wrong with the checkpoint's own template is told
  ///   when a conversation is rendered.
  func format(default fallback: PromptTemplate, seesPictures: Bool) throws -> ConversationFormat {
    if let chosen = try chosenFormat(seesPictures: seesPictures) { return chosen }
    do {
      guard let found = try chatTemplate() else {
        guard let (token, turns) = try turnToken() else { return .familyDefault(fallback) }
        return .familyDefault(turns == .llama3 ? .llama3 : .chatml, sign: "its tokenizer knows \(token)")
      }
      return .program(try template(found.text, place: found.place, seesPictures: seesPictures))
    } catch let error as GristError {
      return .unreadable(error)
    }
  }

  /// How turns of a conversation are marked by tokens of their own.
  enum Turns { case llama3, chatml }

  /// A token that marks turns, where the tokenizer's files add one to its words.
  ///
  /// - Throws: 65 where one of them is no JSON.
  func turnToken() throws -> (token: String, Turns)? {
    let added = try addedTokens()
    let signs: [(String, Turns)] = [
      ("<|start_header_id|>", .llama3), ("<|eot_id|>", .llama3), ("<|im_start|>", .chatml), ("<|im_end|>", .chatml),
    ]
    return signs.first { added.contains($0.0) }
  }

  private func addedTokens() throws -> Set<String> {
    var tokens: Set<String> = []
    if let added = try json("added_tokens.json") { tokens.formUnion(added.object.names) }
    if let settings = try json("tokenizer_config.json") {
      let decoder = settings.value("added_tokens_decoder")?.object?.members ?? []
      tokens.formUnion(decoder.compactMap { $0.value["content"]?.string })
      tokens.formUnion(["eos_token", "bos_token"].compactMap { settings.value($0)?.string })
    }
    // A large file, that says the same where the others list what was added.
    if tokens.count < 3, let tokenizer = try json(TokenizerKind.tokenizers.fileName) {
      tokens.formUnion(tokenizer.value("added_tokens")?.array?.compactMap { $0["content"]?.string } ?? [])
    }
    return tokens
  }

  /// The format that whoever reads the model asked for.
  ///
  /// - Throws: 65 for one that this version does not know.
  func chosenFormat(seesPictures: Bool) throws -> ConversationFormat? {
    guard let given = options.template else { return nil }
    if given == ConversationFormat.rawName { return .raw }
    if let template = PromptTemplate(name: given) { return .builtIn(template) }
    guard ConfigurationOptions.isTemplateText(given) else {
      throw GristError(
        .badData, "a prompt template that this version does not know", file: path, found: given,
        advice: "use a newer gristmill")
    }
    return .program(try template(given, place: path + ", its template", seesPictures: seesPictures))
  }

  private func template(_ text: String, place: String, seesPictures: Bool) throws -> ChatTemplate {
    ChatTemplate(text: text, place: place, tokens: try specialTokens(), seesPictures: seesPictures)
  }

  /// Names that transformers gives special tokens, where the tokenizer's files set them.
  private func specialTokens() throws -> JSONObject {
    var tokens = JSONObject()
    func take(_ file: JSONReader?) throws {
      guard let file else { return }
      for kind in ["bos", "eos", "unk", "sep", "pad", "cls", "mask"] where tokens["\(kind)_token"] == nil {
        guard let value = file.value("\(kind)_token"), value != .null else { continue }
        guard let text = value.string ?? value["content"]?.string else {
          throw file.failure("\(kind)_token", "a token's text")
        }
        tokens["\(kind)_token"] = .string(text)
      }
    }
    let configuration = try json("tokenizer_config.json")
    try take(configuration)
    try take(try json("special_tokens_map.json"))
    // What transformers' class sets where the files are silent.
    let name = try configuration?.string("tokenizer_class", default: "") ?? "LlamaTokenizer"
    if ["LlamaTokenizer", "LlamaTokenizerFast"].contains(name) {
      for (kind, text) in [("bos", "<s>"), ("eos", "</s>"), ("unk", "<unk>")]
      where tokens["\(kind)_token"] == nil && configuration?.value("\(kind)_token") == nil {
        tokens["\(kind)_token"] = .string(text)
      }
    }
    return tokens
  }

  /// One text, or several by name, of which a conversation without tools takes the default.
  private func templateText(_ json: JSONReader) throws -> String {
    guard json.value("chat_template")?.array != nil else { return try json.string("chat_template") }
    guard let entry = try json.objects("chat_template").first(where: { try $0.string("name") == "default" }) else {
      throw json.failure("chat_template", "a text, or a list with one that is named default")
    }
    return try entry.string("template")
  }

  private func chatTemplate() throws -> (text: String, place: String)? {
    if let bytes = try bytes("chat_template.jinja") {
      let place = joinPath(path, "chat_template.jinja")
      guard let text = bytes.utf8 else { throw GristError(.badData, "the chat template must be UTF-8", file: place) }
      return (text, place)
    }
    for name in ["chat_template.json", "processor_config.json", "tokenizer_config.json"] {
      if let json = try json(name), json.has("chat_template") { return (try templateText(json), json.file) }
    }
    return nil
  }
}

extension ConfigurationOptions {
  /// Whether a text is a template's rather than the name of one.
  public static func isTemplateText(_ text: String) -> Bool { text.contains("{{") || text.contains("{%") }
}
