/// How a conversation becomes one text, `<image>` standing for the picture.
public enum PromptTemplate: String, Sendable, CaseIterable {
  /// Upstream's `vicuna_v1`: a system message, then `USER: … ASSISTANT:`; answers end in `</s>`.
  case vicuna
  /// `USER: … ASSISTANT:` without a system message: LLaVA-1.5 and LLaVA-NeXT on Vicuna, as llava-hf ships them.
  case llava
  /// `[INST] … [/INST]`: LLaVA-NeXT on Mistral, as llava-hf ships it. Answers end in `<\s> `, which is what its template says.
  case mistral
  /// `<|im_start|>user … <|im_end|>`: LLaVA-NeXT on Yi 34B, as llava-hf ships it.
  case chatml
  /// `<|start_header_id|>user<|end_header_id|> … <|eot_id|>`: LLaMA 3's.
  case llama3

  private static let vicunaSystem =
    "A chat between a curious user and an artificial intelligence assistant. "
    + "The assistant gives helpful, detailed, and polite answers to the user's questions."

  /// The text of finished exchanges and a last message that waits for its answer. `image`, where there is one, stands
  /// before the first message.
  public func text(history: [(user: String, assistant: String)], message: String, image: String?) -> String {
    let placeholder = image.map { $0 + "\n" } ?? ""
    let users = history.map(\.user) + [message]
    let asked = users.enumerated().map { $0.offset == 0 ? placeholder + $0.element : $0.element }
    let turns = zip(asked, history.map(\.assistant)).map { turn($0, $1) }.joined()
    let last = asked[history.count]
    switch self {
    case .vicuna: return Self.vicunaSystem + " " + turns + "USER: \(last) ASSISTANT:"
    case .llava: return turns + "USER: \(last) ASSISTANT:"
    case .mistral: return turns + "[INST] \(last) [/INST]"
    case .chatml: return turns + Self.chatML("user", last) + "<|im_start|>assistant\n"
    case .llama3: return turns + Self.llama3("user", last) + Self.llama3Header("assistant")
    }
  }

  /// A finished exchange.
  private func turn(_ user: String, _ assistant: String) -> String {
    switch self {
    case .vicuna: "USER: \(user) ASSISTANT: \(assistant)</s>"
    case .llava: "USER: \(user) ASSISTANT: \(assistant) "
    case .mistral: "[INST] \(user) [/INST] \(assistant)<\\s> "
    case .chatml: Self.chatML("user", user) + Self.chatML("assistant", assistant)
    case .llama3: Self.llama3("user", user) + Self.llama3("assistant", assistant)
    }
  }

  private static func chatML(_ role: String, _ text: String) -> String { "<|im_start|>\(role)\n\(text)<|im_end|>\n" }

  private static func llama3Header(_ role: String) -> String { "<|start_header_id|>\(role)<|end_header_id|>\n\n" }

  private static func llama3(_ role: String, _ text: String) -> String { llama3Header(role) + text + "<|eot_id|>" }
}
