import GristTemplates

/// How a conversation becomes one text, `<image>` standing for the picture.
public enum PromptTemplate: String, Sendable, CaseIterable {
  /// Upstream's `vicuna_v1`: a system message, then `USER: … ASSISTANT:`; answers end in `</s>`.
  case vicuna
  /// `USER: … ASSISTANT:` without a system message: LLaVA-1.5 and LLaVA-NeXT on Vicuna, as llava-hf ships them.
  case llava
  /// `[INST] … [/INST]`: LLaVA-NeXT on Mistral, as llava-hf ships it. Answers end in `<\s> `, which is what its
  /// template says.
  case mistral
  /// `<|im_start|>user … <|im_end|>`: LLaVA-NeXT on Yi 34B, as llava-hf ships it.
  case chatml
  /// `<|start_header_id|>user<|end_header_id|> … <|eot_id|>`: LLaMA 3's.
  case llama3
  /// Upstream's `llava_v1`: `vicuna_v1` with a human for a user. Its scripts ask LLaVA 1.5 and 1.6 on Vicuna so;
  /// trained, and measured in its papers, they were by `vicuna_v1`.
  case llavaV1 = "llava_v1"
  /// Upstream's `llava_llama_2`: LLaMA 2's `[INST] … [/INST]` with a system message.
  case llavaLlama2 = "llava_llama_2"
  /// Upstream's `mistral_instruct`: LLaMA 2's form without a system message.
  case mistralInstruct = "mistral_instruct"
  /// Upstream's `chatml_direct`: LLaVA-NeXT on Yi 34B.
  case chatmlDirect = "chatml_direct"
  /// LLaVA-NeXT's `llava_llama_3`: LLaMA 3's own template with a system message. It writes the token that begins a
  /// text, which its tokenizer then writes once more.
  case llavaLlama3 = "llava_llama_3"

  /// A template by its name, or by upstream's name for ``vicuna``.
  public init?(name: String) {
    self.init(rawValue: name == "vicuna_v1" ? PromptTemplate.vicuna.rawValue : name)
  }

  private static func system(with partner: String) -> String {
    "A chat between a curious \(partner) and an artificial intelligence assistant. "
      + "The assistant gives helpful, detailed, and polite answers to the \(partner)'s questions."
  }

  private static let assistantSystem =
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    + "provides, and assist the user with a variety of tasks using natural language."

  /// A conversation as one text. What it tells the model to be replaces what the template itself tells.
  public func text(_ conversation: Conversation) -> String {
    let told = conversation.system
    let asked = conversation.history.map(\.user.flattened) + [conversation.message.flattened]
    let answers = conversation.history.map(\.assistant)
    let turns = zip(asked, answers).map { turn($0, $1) }.joined()
    let last = asked[answers.count]
    switch self {
    case .vicuna: return (told ?? Self.system(with: "user")) + " " + turns + "USER: \(last) ASSISTANT:"
    case .llavaV1: return (told ?? Self.system(with: "human")) + " " + turns + "USER: \(last) ASSISTANT:"
    case .llava: return (told.map { $0 + " " } ?? "") + turns + "USER: \(last) ASSISTANT:"
    case .mistral: return (told.map(Self.llama2System) ?? "") + turns + "[INST] \(last) [/INST]"
    case .chatml:
      return (told.map { Self.chatML("system", $0) } ?? "") + turns + Self.chatML("user", last)
        + "<|im_start|>assistant\n"
    case .llama3:
      return (told.map { Self.llama3("system", $0) } ?? "") + turns + Self.llama3("user", last)
        + Self.llama3Header("assistant")
    case .chatmlDirect:
      return "<|im_start|>system\n\(told ?? "Answer the questions.")<|im_end|>" + turns
        + "<|im_start|>user\n\(last)<|im_end|><|im_start|>assistant\n"
    case .llavaLlama3:
      return "<|begin_of_text|>" + Self.llama3("system", told ?? Self.assistantSystem) + turns
        + Self.llama3("user", last.strippedAsPython()) + Self.llama3Header("assistant")
    case .llavaLlama2, .mistralInstruct: return instructions(told, asked, answers)
    }
  }

  /// Upstream's `SeparatorStyle.LLAMA_2`. LLaMA 2 separates exchanges by a token that begins a text; Mistral does not.
  private func instructions(_ told: String?, _ asked: [String], _ answers: [String]) -> String {
    let system = told ?? (self == .llavaLlama2 ? Self.assistantSystem : nil)
    var text = "[INST] " + (system.map(Self.llama2System) ?? "")
    for (message, answer) in zip(asked, answers) {
      text += "\(message) [/INST] \(answer) </s>" + (self == .llavaLlama2 ? "<s>" : "") + "[INST] "
    }
    return text + asked[answers.count] + " [/INST]"
  }

  private static func llama2System(_ text: String) -> String { "<<SYS>>\n\(text)\n<</SYS>>\n\n" }

  /// A finished exchange.
  private func turn(_ user: String, _ assistant: String) -> String {
    switch self {
    case .vicuna, .llavaV1: "USER: \(user) ASSISTANT: \(assistant)</s>"
    case .llava: "USER: \(user) ASSISTANT: \(assistant) "
    case .mistral: "[INST] \(user) [/INST] \(assistant)<\\s> "
    case .chatml: Self.chatML("user", user) + Self.chatML("assistant", assistant)
    case .llama3: Self.llama3("user", user) + Self.llama3("assistant", assistant)
    case .chatmlDirect: "<|im_start|>user\n\(user)<|im_end|><|im_start|>assistant\n\(assistant)<|im_end|>"
    case .llavaLlama3:
      Self.llama3("user", user.strippedAsPython()) + Self.llama3("assistant", assistant.strippedAsPython())
    case .llavaLlama2, .mistralInstruct: "[INST] \(user) [/INST] \(assistant) </s>"
    }
  }

  private static func chatML(_ role: String, _ text: String) -> String { "<|im_start|>\(role)\n\(text)<|im_end|>\n" }

  private static func llama3Header(_ role: String) -> String { "<|start_header_id|>\(role)<|end_header_id|>\n\n" }

  private static func llama3(_ role: String, _ text: String) -> String { llama3Header(role) + text + "<|eot_id|>" }
}
