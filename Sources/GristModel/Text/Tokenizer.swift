import GristCore

/// Turns text into a language model's ids and back.
public protocol Tokenizer: Sendable {
  /// One more than the greatest id that it gives.
  var vocabularySize: Int { get }

  /// One more than the greatest id that text becomes without a special token being spelled out in it.
  var wordVocabularySize: Int { get }

  /// The ids that every sequence begins with: BOS, or nothing.
  var prefix: [Int] { get }

  /// The id that ends an answer; nil where the tokenizer's files do not say.
  var end: Int? { get }

  /// Ids of a text, without ``prefix``. Special tokens spelled out in it become their ids.
  ///
  /// - Parameters:
  ///   - text: what is encoded.
  ///   - isStart: whether the text stands at the beginning of the sequence; some tokenizers put a blank there.
  ///
  /// - Throws: 65 when the tokenizer cannot encode the text.
  func encode(_ text: String, isStart: Bool) throws -> [Int]

  /// The text of some ids. Special tokens give nothing, nor do ids outside the vocabulary (a model's table may be
  /// padded); bytes that form no UTF-8 become U+FFFD.
  ///
  /// - Throws: 65 when the tokenizer cannot decode the ids.
  func decode(_ ids: [Int]) throws -> String
}

extension Tokenizer {
  public var wordVocabularySize: Int { vocabularySize }

  /// - Throws: 65 when the tokenizer cannot encode the text.
  public func encode(_ text: String) throws -> [Int] { try encode(text, isStart: true) }
}
