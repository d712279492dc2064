import GristCore
import GristSources
import GristTemplates
import TestSupport
import Testing

/// What transformers renders: Tools/reference/write_templates.py.
@Suite("Chat templates, against transformers") struct ChatTemplateTests {
  private static let clock = ChatProgram.Clock(year: 2026, month: 7, day: 31)

  /// What a configuration of transformers' LLaVA-NeXT, or another, says with files beside it.
  private func format(
    _ files: [String: JSONValue], choice: String? = nil, of folder: String = "huggingface/next-5"
  ) throws -> ConversationFormat {
    let folder = Fixtures.path(folder)
    let configuration = try ModelConfiguration(path: folder, options: ConfigurationOptions(template: choice)) { name in
      if let file = files[name] { return Bytes(Array((file.string ?? file.text()).utf8)) }
      return ["config.json", "preprocessor_config.json"].contains(name) ? try readFile("\(folder)/\(name)") : nil
    }
    return configuration.format
  }

  private func text(_ format: ConversationFormat, _ message: String = "Why?", image: Bool = true) throws -> String {
    try format.rendering(Conversation(message: message, hasImage: image, clock: Self.clock)).text
  }

  private static let textConfiguration: JSONValue = [
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8, "intermediate_size": 8,
    "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1, "vocab_size": 16, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 64,
  ]

  @Test(
    "templates that checkpoints ship are run: 200 conversations come out as transformers writes them, and as our own do"
  )
  func rendered() throws {
    let document = try Fixtures.json("text/templates.json")
    let conversations = try #require(document["conversations"]?.array)
    let templates = try #require(document["templates"]?.array)
    #expect(conversations.count == 200 && templates.count == 8)
    for entry in templates {
      let own = try #require(entry["name"]?.string.flatMap { PromptTemplate(rawValue: $0) })
      let format = try format(["chat_template.json": ["chat_template": try #require(entry["template"])]])
      #expect(format.builtInTemplate == nil && format.note == nil)
      for (conversation, wanted) in zip(conversations, try #require(entry["texts"]?.array)) {
        let history = try #require(conversation["history"]?.array).map { turn in
          Conversation.Turn(user: try #require(turn.array?[0].string), assistant: try #require(turn.array?[1].string))
        }
        let message = try #require(conversation["message"]?.string)
        let asked = try Conversation(
          history: history, message: message, hasImage: conversation["image"]?.bool == true, clock: Self.clock)
        let rendered = try format.rendering(asked).text
        #expect(Array(rendered.utf8) == wanted.string.map { Array($0.utf8) }, "\(own): \(rendered.debugDescription)")
        #expect(own.text(asked) == rendered)
      }
    }
  }

  @Test("where a template may lie, and which counts first")
  func places() throws {
    let none = try format([:])
    #expect(none.builtInTemplate == .llava && none.note?.contains("llava") == true)
    let files: [(String, JSONValue)] = [
      ("tokenizer_config.json", ["chat_template": "1?<image>{{ messages[0].content[-1].text }}"]),
      ("processor_config.json", ["chat_template": "2?<image>"]), ("chat_template.json", ["chat_template": "3?<image>"]),
      ("chat_template.jinja", "4?<image>"),
    ]
    for count in 1...files.count {
      let some = Dictionary(uniqueKeysWithValues: files.prefix(count).map { ($0.0, $0.1) })
      #expect(try text(format(some)).hasPrefix("\(count)"))
    }
    let named: JSONValue = [["name": "tool_use", "template": "x"], ["name": "default", "template": "5?<image>"]]
    #expect(try text(format(["tokenizer_config.json": ["chat_template": named]])).hasPrefix("5"))
  }

  @Test("a template that takes texts gets the picture in the text; one that has no place for it is refused")
  func contents() throws {
    let texts = "{% for m in messages %}[{{ m.role }}]{{ m.content + '.' }}{% endfor %}"
    #expect(try text(format(["chat_template.jinja": .string(texts)])) == "[user]<image>\nWhy?.")
    #expect(try text(format(["chat_template.jinja": .string(texts)]), image: false) == "[user]Why?.")
    for other in ["{{ messages | length }}", "{{ messages[0].content[0].type }}", "<image><image>?{{ 1 }}"] {
      let error = try #require(throws: GristError.self) { try text(format(["chat_template.jinja": .string(other)])) }
      #expect(error.code == .badData && error.file?.hasSuffix("chat_template.jinja") == true)
      #expect(error.advice?.contains("--template") == true)
    }
  }

  @Test("one that cannot be run is refused when it is needed, not before; --template and --raw take its place")
  func unreadable() throws {
    let parts: [JSONValue] = ["{{", "{% if %}", "{% import 'os' %}", "{{ strange() }}"]
    for other in parts {
      let format = try format(["chat_template.jinja": other])
      let error = try #require(throws: GristError.self) { try text(format) }
      #expect(error.file?.hasSuffix("chat_template.jinja") == true && error.advice?.contains("--raw") == true)
      #expect(try self.format(["chat_template.jinja": other], choice: "chatml").builtInTemplate == .chatml)
      #expect(try text(self.format(["chat_template.jinja": other], choice: "raw")) == "<image>\nWhy?")
      #expect(try text(self.format(["chat_template.jinja": other], choice: "{{ '<image>' }}?")) == "<image>?")
    }
    let list = try format(["tokenizer_config.json": ["chat_template": [["name": "rag", "template": "x"]]]])
    #expect(throws: GristError.self) { try text(list) }
    let error = try #require(throws: GristError.self) { try format([:], choice: "morse") }
    #expect(error.code == .badData && error.found == "morse")
  }

  @Test(
    "the ids that every sequence begins with come once: from the template, or where it writes none, from the tokenizer")
  func beginnings() throws {
    func begins(
      _ template: String, _ tokenizer: JSONValue, sees: Bool = true, message: String = "?"
    ) throws -> (Bool, String) {
      var files: [String: JSONValue] = ["chat_template.jinja": .string(template), "tokenizer_config.json": tokenizer]
      if !sees { files["config.json"] = Self.textConfiguration }
      let rendering = try format(files).rendering(
        Conversation(message: message, hasImage: sees, clock: Self.clock))
      return (rendering.takesPrefix, rendering.text)
    }
    let writes = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
    let silent = "{% for m in messages %}{{ m.content }}{% endfor %}"
    #expect(try begins(writes, ["bos_token": "<b>"]) == (false, "<b><image>\n?"))
    #expect(try begins(writes, ["bos_token": ["content": "<c>"]]) == (false, "<c><image>\n?"))
    #expect(try begins(silent, ["bos_token": "<b>"]) == (true, "<image>\n?"))
    // A text without a template of its own never gets them twice: transformers adds none to a rendered text.
    #expect(try begins(writes, ["bos_token": "<b>"], sees: false) == (false, "<b>?"))
    #expect(try begins(silent, ["bos_token": "<b>"], sees: false) == (false, "?"))
    // What stands behind a token may join its last letter.
    let joined =
      "{{ bos_token }}{% for m in messages %}{% for c in m.content %}{{ c.text or '' }}{% endfor %}{% endfor %}<image>"
    #expect(try begins(joined, ["bos_token": "<b>"], message: "\u{301}?") == (false, "<b>\u{301}?<image>"))
    // LLaMA's own tokenizer class has tokens where its file is silent; others have none.
    #expect(try begins(writes, ["tokenizer_class": "LlamaTokenizer"]) == (false, "<s><image>\n?"))
    #expect(try begins(writes, ["tokenizer_class": "PreTrainedTokenizerFast"]) == (true, "<image>\n?"))
  }

  @Test("the day comes from whoever asks")
  func day() throws {
    let format = try format([
      "config.json": Self.textConfiguration, "chat_template.jinja": "{{ strftime_now('%d %b %Y') }}",
    ])
    #expect(try text(format, image: false) == "31 Jul 2026")
    #expect(throws: GristError.self) {
      try format.rendering(Conversation(message: "", hasImage: false))
    }
  }
}
