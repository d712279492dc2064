import GristCheckpoints
import GristCore

/// A checkpoint's own chat template, which is a program in Jinja. Nothing of a stranger's is run: those that LLaVA
/// checkpoints ship are known by their digests.
struct ChatTemplate {
  let text: String
  /// The file that holds it.
  let place: String

  /// The template that it is; nil for one that this version does not know.
  var known: PromptTemplate? { Self.byDigest[Checkpoint.sha256(Bytes(Array(Self.stripped(text).utf8)))] }

  /// SHA-256 of stripped templates, as `Tools/reference/write_templates.py` prints them.
  private static let byDigest: [String: PromptTemplate] = [
    "bb1754c8bb89d03c5508969b5b36c262e9e3c2451aa5b9c217ffee1d23413ae8": .llava,
    "047cbda85b98027fdbd7ac44d5d47608d4926b04303d3184f31de5cb37a55dd5": .llava,
    "de43c149046e22ed1c45595bba9de9daa5e8d3a27db2484f948f84bce461441c": .mistral,
    "f1eee73ba2a451544c6c3447dff954daaf4fea6e9c65959a2ac3b06eb310f93c": .mistral,
    "e91b8ff7b0de769f6bb9e59e653fdbf24a45960e674560d7c05804470e6818cc": .chatml,
    "e9127e49f4394013f974c49d399e03c71908c2ccc4e42bd1cfeb8d1752aa0a7f": .chatml,
    "e6cd5b5395a240e2539dcb3bb248150414e79264a03156a491e9c608b3288dfe": .llama3,
    "41aa204ba73608668d86823c639b15a7b49d10d7f3504b62a2ed82ffec4f0455": .llama3,
  ]

  /// A template without what does not show: comments, the marks for training masks, and blanks inside of tags. Blanks
  /// between tags are part of the text.
  static func stripped(_ text: String) -> String {
    var result = ""
    var rest = text[...]
    while let open = rest.firstRange(of: "{"), open.upperBound < rest.endIndex {
      let kind = rest[open.upperBound]
      result += rest[..<open.lowerBound]
      let tag = rest[open.lowerBound...]
      guard let end = ["#": "#}", "%": "%}", "{": "}}"][kind].flatMap({ tag.firstRange(of: $0) }) else {
        result.append("{")
        rest = rest[open.upperBound...]
        continue
      }
      if kind != "#" {
        let bare = withoutBlanks(tag[..<end.upperBound])
        if !["{%generation%}", "{%endgeneration%}"].contains(bare) { result += bare }
      }
      rest = rest[end.upperBound...]
    }
    return result + rest
  }

  /// Blanks outside of quotes taken out.
  private static func withoutBlanks(_ tag: Substring) -> String {
    var result = ""
    var quote: Character?
    for character in tag {
      if quote == nil, character.isWhitespace { continue }
      result.append(character)
      if character == quote {
        quote = nil
      } else if quote == nil, character == "'" || character == "\"" {
        quote = character
      }
    }
    return result
  }
}

extension SideFiles {
  /// The template that whoever reads the model asked for.
  ///
  /// - Throws: 65 for one that this version does not know.
  var chosenTemplate: PromptTemplate? {
    get throws {
      guard let name = choices.template else { return nil }
      guard let template = PromptTemplate(rawValue: name) else {
        throw GristError(
          .badData, "a prompt template that this version does not know", file: path, found: name,
          advice: "use a newer gristmill")
      }
      return template
    }
  }

  /// How a conversation is written down: as asked, or as the checkpoint's own chat template has it, or where it has none,
  /// as its family does.
  ///
  /// - Throws: 65 for a chat template that this version does not know.
  func template(default fallback: PromptTemplate) throws -> PromptTemplate {
    if let chosen = try chosenTemplate { return chosen }
    guard let template = try chatTemplate() else { return fallback }
    guard let known = template.known else {
      let names = PromptTemplate.allCases.map(\.rawValue).joined(separator: ", ")
      throw GristError(
        .badData, "a chat template that this version cannot render", file: template.place,
        advice: "pass --template NAME to write conversations by one that it can: \(names)")
    }
    return known
  }

  /// One text, or several by name, of which a conversation without tools takes the default.
  private func templateText(_ json: JSONReader) throws -> String {
    guard json.value("chat_template")?.array != nil else { return try json.string("chat_template") }
    guard let entry = try json.objects("chat_template").first(where: { try $0.string("name") == "default" }) else {
      throw json.failure("chat_template", "a text, or a list with one that is named default")
    }
    return try entry.string("template")
  }

  private func chatTemplate() throws -> ChatTemplate? {
    if let bytes = try bytes("chat_template.jinja") {
      let place = joinPath(path, "chat_template.jinja")
      guard let text = bytes.utf8 else { throw GristError(.badData, "the chat template must be UTF-8", file: place) }
      return ChatTemplate(text: text, place: place)
    }
    for name in ["chat_template.json", "processor_config.json", "tokenizer_config.json"] {
      if let json = try json(name), json.has("chat_template") {
        return ChatTemplate(text: try templateText(json), place: json.file)
      }
    }
    return nil
  }
}
