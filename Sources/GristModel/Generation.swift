import GristCore

extension VisionLanguageModel {
  /// Why an answer ended.
  public enum Ending: String, Sendable { case endToken = "eos", length }

  public struct Answer: Sendable {
    /// Tokens of the answer, without the end token.
    public let tokens: [Int]
    public let text: String
    public let ending: Ending
    /// Logits after the prompt.
    public let firstLogits: [Float]
  }

  /// Answers a prepared prompt, calling `onText` with each new piece of text as it comes.
  public func answer(
    _ prompt: PreparedPrompt, maxNewTokens: Int, sampler: Sampler, onText: (String) -> Void = { _ in }
  ) throws -> Answer {
    var sampler = sampler
    var decoder = StreamingDecoder(tokenizer)
    let session = try start(prompt, newTokens: maxNewTokens)
    let firstLogits = session.logits
    var tokens: [Int] = []
    var ending = Ending.length
    while tokens.count < maxNewTokens {
      try Interruption.check()
      let token = sampler.next(session.logits)
      if endTokens.contains(token) {
        ending = .endToken
        break
      }
      tokens.append(token)
      onText(try decoder.append(token))
      if tokens.count < maxNewTokens { try session.advance(token) }
    }
    onText(try decoder.finish())
    return Answer(tokens: tokens, text: try tokenizer.decode(tokens), ending: ending, firstLogits: firstLogits)
  }
}
