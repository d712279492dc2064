import GristCore
import GristFamilies
import TestSupport
import Testing

/// What transformers renders: Tools/reference/write_templates.py.
@Suite("Chat templates, against transformers") struct ChatTemplateTests {
  /// A configuration of transformers' LLaVA-NeXT, with files beside it.
  private func template(_ files: [String: JSONValue], choice: String? = nil) throws -> PromptTemplate {
    let folder = Fixtures.path("huggingface/next-5")
    let configuration = try ModelConfiguration(path: folder, choices: ConfigurationChoices(template: choice)) { name in
      if let file = files[name] { return Bytes(Array((file.string ?? file.text()).utf8)) }
      return ["config.json", "preprocessor_config.json"].contains(name) ? try readFile("\(folder)/\(name)") : nil
    }
    return configuration.template
  }

  @Test("templates that checkpoints ship are known, and 200 conversations come out as transformers writes them")
  func rendered() throws {
    let document = try Fixtures.json("text/templates.json")
    let conversations = try #require(document["conversations"]?.array)
    let templates = try #require(document["templates"]?.array)
    #expect(conversations.count == 200 && templates.count == 8)
    for entry in templates {
      let text = try #require(entry["template"])
      let name = try #require(entry["name"]?.string)
      let template = try template(["chat_template.json": ["chat_template": text]])
      #expect(template.rawValue == name)
      for (conversation, wanted) in zip(conversations, try #require(entry["texts"]?.array)) {
        let history = try #require(conversation["history"]?.array).map { turn in
          (user: try #require(turn.array?[0].string), assistant: try #require(turn.array?[1].string))
        }
        let rendered = template.text(
          history: history, message: try #require(conversation["message"]?.string),
          image: conversation["image"]?.bool == true ? "<image>" : nil)
        #expect(Array(rendered.utf8) == wanted.string.map { Array($0.utf8) }, "\(name): \(rendered.debugDescription)")
      }
    }
  }

  @Test("where a template may lie, and which counts first")
  func places() throws {
    let templates = try #require(try Fixtures.json("text/templates.json")["templates"]?.array)
    func text(_ name: String) throws -> JSONValue {
      try #require(templates.first { $0["name"]?.string == name }?["template"])
    }
    #expect(try template([:]) == .llava)
    #expect(try template(["tokenizer_config.json": ["chat_template": text("mistral")]]) == .mistral)
    let mistral = try text("mistral")
    let named: JSONValue = [["name": "tool_use", "template": "x"], ["name": "default", "template": mistral]]
    #expect(try template(["tokenizer_config.json": ["chat_template": named]]) == .mistral)
    #expect(
      try template([
        "tokenizer_config.json": ["chat_template": text("mistral")],
        "processor_config.json": ["chat_template": text("chatml")],
      ]) == .chatml)
    #expect(
      try template([
        "processor_config.json": ["chat_template": text("chatml")], "chat_template.jinja": text("llama3"),
      ]) == .llama3)
  }

  @Test("one that is not known is refused, blanks between tags among what counts; --template takes its place")
  func unknown() throws {
    let templates = try #require(try Fixtures.json("text/templates.json")["templates"]?.array)
    let known = try #require(templates.first?["template"]?.string)
    for other in [known + " ", known.replacing("%}{%", with: "%} {%"), "{{ messages }}", "{", "{{", ""] {
      let error = try #require(throws: GristError.self) {
        _ = try template(["chat_template.jinja": .string(other)])
      }
      #expect(error.code == .badData && error.file?.hasSuffix("chat_template.jinja") == true)
      #expect(error.advice?.contains("--template NAME") == true && error.advice?.contains("mistral") == true)
      #expect(try template(["chat_template.jinja": .string(other)], choice: "chatml") == .chatml)
    }
    let error = try #require(throws: GristError.self) { _ = try template([:], choice: "morse") }
    #expect(error.code == .badData && error.found == "morse")
  }

  @Test("blanks inside of tags, comments and marks for training do not count")
  func blanks() throws {
    let templates = try #require(try Fixtures.json("text/templates.json")["templates"]?.array)
    for entry in templates {
      let text = try #require(entry["template"]?.string)
      let other = "{# ours #}" + text.replacing("{% ", with: "{%   ").replacing("{% generation %}", with: "")
      #expect(try template(["chat_template.jinja": .string(other)]).rawValue == entry["name"]?.string)
    }
  }
}
