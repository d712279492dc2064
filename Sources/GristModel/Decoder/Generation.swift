import GristCore

extension VisionLanguageModel {
  /// Why an answer ended.
  public enum Ending: String, Sendable {
    case endToken = "eos"
    case length
    /// The model's context is full.
    case context
  }

  public struct Answer: Sendable {
    /// Tokens of the answer, without the end token.
    public let tokens: [Int]
    public let text: String
    public let ending: Ending
    /// Logits after the prompt.
    public let firstLogits: [Float]
    /// Seconds from the prompt to the first logits, and from there to the last token.
    public let prefillSeconds: Double
    public let decodeSeconds: Double
  }

  /// Answers a prepared prompt, calling `onText` with each new piece of text as it comes.
  ///
  /// - Throws: What decoding throws: 65 for values that are not finite, 130 when the user interrupts.
  public func answer(
    _ prompt: PreparedPrompt, maxNewTokens: Int, sampler: Sampler, onText: (String) throws -> Void = { _ in }
  ) throws -> Answer {
    var sampler = sampler
    var decoder = StreamingDecoder(tokenizer)
    let clock = ContinuousClock()
    let began = clock.now
    let session = try start(prompt, newTokens: maxNewTokens)
    let firstLogits = session.logits
    let prefilled = clock.now
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
      try onText(decoder.append(token))
      guard tokens.count < maxNewTokens else { break }
      guard session.hasRoom else {
        ending = .context
        break
      }
      try session.advance(token)
    }
    try onText(decoder.finish())
    return Answer(
      tokens: tokens, text: try tokenizer.decode(tokens), ending: ending, firstLogits: firstLogits,
      prefillSeconds: (prefilled - began).seconds, decodeSeconds: (clock.now - prefilled).seconds)
  }
}

extension Duration {
  /// The duration in seconds.
  package var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
