import GristCore

/// The conversation that upstream LLaVA asks a model by. Its scripts pick it by the model's name (`eval/run_llava.py`:
/// `llama-2`, `mistral`, `v1.6-34b`, `v1`); LLaVA-NeXT adds `llava_llama_3`, which its users have to name. A folder may
/// have been given another name, so what the tokenizer adds and the architecture are asked too. Where nothing says
/// anything, it is `vicuna_v1`: what LLaVA was trained by, and AVG-LLaVA is asked by.
struct UpstreamConversation {
  let template: PromptTemplate
  /// What it was told by; nil where nothing told.
  let reason: String?

  /// - Parameters:
  ///   - json: `config.json`.
  ///   - files: the model's.
  ///   - backbone: the decoder's kind.
  ///
  /// - Throws: 65 where a tokenizer's file is no JSON.
  init(_ json: JSONReader, _ files: SideFiles, backbone: Backbone) throws {
    guard !json.names(anyOf: ["LlavaAVGLlamaForCausalLM"]) else {
      self.init(template: .vicuna, reason: nil)
      return
    }
    let names = [files.folderName, json.value("_name_or_path")?.string?.split(atBytesOf: "/").last].compactMap { $0 }
    for (sign, template) in Self.names {
      if let name = names.first(where: { $0.lowercased().contains(bytesOf: sign) }) {
        self.init(template: template, reason: "it is called \(name.shortened())")
        return
      }
    }
    if let (token, turns) = try files.turnToken() {
      self.init(template: turns == .llama3 ? .llavaLlama3 : .chatmlDirect, reason: "its tokenizer knows \(token)")
    } else if backbone == .mistral {
      self.init(template: .mistralInstruct, reason: "its language model is a Mistral")
    } else {
      self.init(template: .vicuna, reason: nil)
    }
  }

  private init(template: PromptTemplate, reason: String?) {
    self.template = template
    self.reason = reason
  }

  /// Parts of names, in the order in which they count. BakLLaVA is a Mistral that was taught by LLaVA's own
  /// conversations.
  private static let names: [(String, PromptTemplate)] = [
    ("bakllava", .vicuna), ("llama-2", .llavaLlama2), ("mistral", .mistralInstruct), ("v1.6-34b", .chatmlDirect),
    ("llama3", .llavaLlama3), ("llama-3", .llavaLlama3), ("llava-v1", .llavaV1),
  ]
}
