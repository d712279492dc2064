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
    /// Passes through the model that the tokens behind the first took.
    public let passes: Int
    /// Seconds from the prompt to the first logits, and from there to the last token.
    public let prefillSeconds: Double
    public let decodeSeconds: Double
  }

  /// Whether guesses of what follows can be verified together without changing what is answered: where tokens are not
  /// drawn, and a few rows become together what each becomes alone.
  public func canGuess(_ sampler: Sampler) -> Bool { sampler.isGreedy && computesAlike }

  /// Answers a prepared prompt, calling `onText` with each new piece of text as it comes.
  ///
  /// - Parameters:
  ///   - prompt: what is answered.
  ///   - maxNewTokens: the longest answer.
  ///   - sampler: chooses tokens.
  ///   - guesses: whether what follows is guessed from what was there before, and verified several tokens a pass, where
  ///     ``canGuess(_:)`` says so; nil leaves it to whether weights are read again for every pass.
  ///   - onText: hears the text.
  ///
  /// - Throws: What decoding throws: 65 for values that are not finite, 130 when the user interrupts.
  public func answer(
    _ prompt: PreparedPrompt, maxNewTokens: Int, sampler: Sampler, guesses: Bool? = nil,
    onText: (String) throws -> Void = { _ in }
  ) throws -> Answer {
    var sampler = sampler
    let guessing = (guesses ?? (residency?.plan.streams == true)) && canGuess(sampler)
    var lookup = PromptLookup(guessing ? prompt.inputIDs : [])
    var decoder = StreamingDecoder(tokenizer)
    let clock = ContinuousClock()
    let began = clock.now
    let session = try start(prompt, newTokens: maxNewTokens)
    let firstLogits = session.logits
    let prefilled = clock.now
    var tokens: [Int] = []
    var ending = Ending.length
    var passes = 0
    var logits = firstLogits
    // Tokens in the cache that are not known to be right, and the logits behind each.
    var guessed: [(token: Int, logits: [Float])] = []
    while tokens.count < maxNewTokens {
      try Interruption.check()
      let token = sampler.next(logits)
      if endTokens.contains(token) {
        ending = .endToken
        break
      }
      tokens.append(token)
      try onText(decoder.append(token))
      guard tokens.count < maxNewTokens else { break }
      if guessing { lookup.append(token) }
      if let first = guessed.first, first.token == token {
        logits = first.logits
        guessed.removeFirst()
        continue
      }
      session.rewind(to: session.length - guessed.count)
      guard session.hasRoom else {
        ending = .context
        break
      }
      let next = guessing ? lookup.guesses(atMost: min(session.roomForGuesses, maxNewTokens - tokens.count - 1)) : []
      guessed = Array(zip(next, try session.advance(token, guessing: next)))
      logits = session.logits
      passes += 1
    }
    try onText(decoder.finish())
    return Answer(
      tokens: tokens, text: try tokenizer.decode(tokens), ending: ending, firstLogits: firstLogits,
      passes: passes, prefillSeconds: (prefilled - began).seconds, decodeSeconds: (clock.now - prefilled).seconds)
  }
}
