import GristCore
import GristKernels

/// One answer in the making: the cache, and the logits for the next token.
public final class DecodingSession {
  /// Tokens of an answer that the cache has room for from the start.
  static let firstRoom = 256

  private let model: VisionLanguageModel
  let cache: KeyValueCache
  /// Logits for the next token, one a vocabulary entry.
  public fileprivate(set) var logits: [Float]
  /// Rows of prompt and answer so far.
  public fileprivate(set) var length: Int

  fileprivate init(_ model: VisionLanguageModel, _ cache: KeyValueCache, length: Int, logits: [Float]) {
    (self.model, self.cache, self.length, self.logits) = (model, cache, length, logits)
  }

  /// Bytes that the cache keeps for each row, keys and values of all layers.
  public var cacheBytesPerRow: Int { cache.bytesPerRow }

  /// Whether the context holds one token more.
  public var hasRoom: Bool { length < model.configuration.maximumLength }

  /// Forgets all rows but the first `length`. ``logits`` stay what they were until a token follows those rows.
  ///
  /// - Precondition: `length` is from 1 to ``length``.
  public func rewind(to length: Int) {
    precondition((1...self.length).contains(length))
    cache.rewind(to: length)
    self.length = length
  }

  /// Appends a token; ``logits`` are then those of the next one.
  ///
  /// - Throws: 64 when the context is full, 65 for a token without an embedding and for values that are not finite, 130
  ///   when the user interrupts.
  public func advance(_ token: Int) throws { _ = try model.advance([(self, [token])]) }

  /// Appends a token and guesses of what follows it, all in one pass; ``logits`` are then those behind the token.
  /// Guesses that turn out wrong are taken back by ``rewind(to:)``.
  ///
  /// - Returns: Logits behind each of the guesses, what they are worth only if all before it are right.
  /// - Throws: As ``advance(_:)`` does.
  func advance(_ token: Int, guessing guesses: [Int]) throws -> [[Float]] {
    let rows = try model.advance([(self, [token] + guesses)])[0]
    logits = rows.row(0)
    return (1..<rows.rows).map(rows.row)
  }

  /// How many guesses may be appended behind a token.
  var roomForGuesses: Int { max(0, model.configuration.maximumLength - length - 1) }
}

extension VisionLanguageModel {
  /// Starts decoding: runs the prompt and leaves room for `newTokens` more.
  ///
  /// - Throws: 65 for values that are not finite, 130 when the user interrupts.
  public func start(_ prompt: PreparedPrompt, newTokens: Int) throws -> DecodingSession {
    try start([prompt], newTokens: newTokens)[0]
  }

  /// Starts decoding after several prompts, for all of which each layer's weights are had once. Each becomes what it
  /// becomes alone.
  ///
  /// - Throws: As starting behind one prompt does.
  public func start(_ prompts: [PreparedPrompt], newTokens: Int) throws -> [DecodingSession] {
    // Most answers end long before the limit: the cache grows if this one does not. Where memory is counted, it has the
    // room that was asked for: growing would take twice as much for a moment.
    let room = residency == nil ? min(max(newTokens, 0), DecodingSession.firstRoom) : max(newTokens, 0)
    let passages = prompts.map { prompt in
      LanguageModel.Passage(
        rows: prompt.rows, cache: language.cache(capacity: prompt.sequenceLength + room, compute))
    }
    let logits = try locating(file: path) { try language.logits(passages, compute) }
    return zip(passages, logits).map {
      DecodingSession(self, $0.cache, length: $0.rows.rows, logits: $1.row(0))
    }
  }

  /// Starts decoding behind what a cache holds of the prompt's beginning.
  ///
  /// - Precondition: It holds fewer rows than the prompt has.
  /// - Throws: As starting behind one prompt does.
  func start(_ prompt: PreparedPrompt, behind cache: KeyValueCache?, newTokens: Int) throws -> DecodingSession {
    guard let cache else { return try start(prompt, newTokens: newTokens) }
    let rest = prompt.rows.copy(rows: cache.count..<prompt.sequenceLength)
    let logits = try locating(file: path) { try language.logits([.init(rows: rest, cache: cache)], compute) }
    return DecodingSession(self, cache, length: prompt.sequenceLength, logits: logits[0].row(0))
  }

  /// Appends tokens to sessions of this model, one or more to each, for all of which each layer's weights are had once.
  /// A session's ``DecodingSession/logits`` are then those behind its last token.
  ///
  /// Several tokens of one session become what each becomes alone only where ``computesAlike`` says so, and only up to
  /// ``tokensAPass``.
  ///
  /// - Returns: For each session the logits behind each of its tokens, [tokens, vocabulary].
  /// - Throws: As ``DecodingSession/advance(_:)`` does; the sessions stay as they were.
  @discardableResult
  package func advance(_ steps: [(session: DecodingSession, tokens: [Int])]) throws -> [FloatMatrix] {
    for (session, tokens) in steps where session.length + tokens.count > configuration.maximumLength {
      throw GristError(
        .usage, "the model's context of \(configuration.maximumLength) tokens is full", file: path,
        advice: "ask for a shorter answer")
    }
    let passages = try steps.map {
      try LanguageModel.Passage(rows: embed($0.tokens), cache: $0.session.cache, wanted: $0.tokens.count)
    }
    do {
      let logits = try locating(file: path) { try language.logits(passages, compute) }
      for ((session, tokens), rows) in zip(steps, logits) {
        session.length += tokens.count
        session.logits = rows.row(rows.rows - 1)
      }
      return logits
    } catch {
      for (session, _) in steps { session.cache.rewind(to: session.length) }
      throw error
    }
  }

  /// Tokens of one answer that may go through together where ``computesAlike``.
  public static let tokensAPass = 4

  /// Whether a few tokens that go through together become what each becomes alone: where codes meet codes.
  public var computesAlike: Bool { language.computesAlike(compute) }

  /// Appends to each session tokens that are known, those of all of them in the same passes, several of one session
  /// where that changes nothing.
  ///
  /// - Parameters:
  ///   - sessions: of this model.
  ///   - tokens: of each session; 65 what has no embedding.
  ///   - heard: is given a session's index, a token's, and the logits behind it.
  ///
  /// - Throws: As ``DecodingSession/advance(_:)`` does.
  public func follow(
    _ sessions: [DecodingSession], _ tokens: [[Int]],
    heard: (_ session: Int, _ token: Int, _ logits: [Float]) throws -> Void
  ) throws {
    let step = computesAlike ? Self.tokensAPass : 1
    var done = 0
    while case let left = sessions.indices.filter({ tokens[$0].count > done }), !left.isEmpty {
      try Interruption.check()
      let logits = try advance(left.map { (sessions[$0], Array(tokens[$0][done...].prefix(step))) })
      for (index, rows) in zip(left, logits) {
        for row in 0..<rows.rows { try heard(index, done + row, rows.row(row)) }
      }
      done += step
    }
  }
}
