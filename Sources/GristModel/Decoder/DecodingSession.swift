import GristCore
import GristKernels

/// One answer in the making: the cache, and the logits for the next token.
public final class DecodingSession {
  /// Tokens of an answer that the cache has room for from the start.
  private static let firstRoom = 256

  private let model: VisionLanguageModel
  private let language: LanguageModel
  private let cache: KeyValueCache
  /// Logits for the next token, one a vocabulary entry.
  public private(set) var logits: [Float]

  init(
    _ model: VisionLanguageModel, _ prompt: VisionLanguageModel.PreparedPrompt, newTokens: Int, language: LanguageModel
  ) throws {
    self.model = model
    self.language = language
    length = prompt.sequenceLength
    // Most answers end long before the limit: the cache grows if this one does not.
    // Where memory is counted, it has the room that was asked for: growing would take twice as much for a moment.
    let room = model.residency == nil ? min(max(newTokens, 0), Self.firstRoom) : max(newTokens, 0)
    let cache = language.cache(capacity: prompt.sequenceLength + room, model.compute)
    self.cache = cache
    logits = try locating(file: model.path) {
      try language.logits([.init(rows: prompt.rows, cache: cache)], model.compute)[0].row(0)
    }
  }

  /// Bytes that the cache keeps for each row, keys and values of all layers.
  public var cacheBytesPerRow: Int { cache.bytesPerRow }

  /// Rows of prompt and answer so far.
  public private(set) var length: Int

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
  public func advance(_ token: Int) throws { _ = try advance(token, guessing: []) }

  /// Appends a token and guesses of what follows it, all in one pass; ``logits`` are then those behind the token.
  /// Guesses that turn out wrong are taken back by ``rewind(to:)``.
  ///
  /// - Returns: Logits behind each of the guesses, what they are worth only if all before it are right.
  /// - Throws: As ``advance(_:)`` does.
  func advance(_ token: Int, guessing guesses: [Int]) throws -> [[Float]] {
    guard length + guesses.count < model.configuration.maximumLength else {
      throw GristError(
        .usage, "the model's context of \(model.configuration.maximumLength) tokens is full", file: model.path,
        advice: "ask for a shorter answer")
    }
    length += 1 + guesses.count
    let rows = try locating(file: model.path) {
      try language.logits(
        [.init(rows: model.embed([token] + guesses), cache: cache, wanted: 1 + guesses.count)], model.compute)[0]
    }
    logits = rows.row(0)
    return (1..<rows.rows).map(rows.row)
  }

  /// How many guesses may be appended behind a token.
  var roomForGuesses: Int { max(0, model.configuration.maximumLength - length - 1) }
}
