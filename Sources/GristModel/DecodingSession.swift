import GristKernels

/// One answer in the making: the cache, and the logits for the next token.
public final class DecodingSession {
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
    cache = try language.cache(capacity: prompt.sequenceLength + max(newTokens, 0), model.compute)
    logits = try language.logits(prompt.rows, cache: cache, model.compute)
  }

  /// Bytes that the cache keeps for each row, keys and values of all layers.
  public var cacheBytesPerRow: Int { cache.bytesPerRow }

  /// Whether another token fits.
  public var canAdvance: Bool { cache.count < cache.capacity }

  /// Appends a token; ``logits`` are then those of the next one.
  public func advance(_ token: Int) throws {
    logits = try language.logits(model.embed([token]), cache: cache, model.compute)
  }
}
