/// A way in which a tokenizer is written down.
public enum TokenizerKind: String, Sendable, CaseIterable {
  /// SentencePiece's own.
  case sentencePiece = "tokenizer.model"
  /// The library `tokenizers`' own.
  case tokenizers = "tokenizer.json"

  /// The file that holds it.
  public var fileName: String { rawValue }
}
