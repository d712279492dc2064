import GristCore

/// A tokenizer as `tokenizer.json` describes it: byte pairs over bytes (GPT-2's way) or over characters with bytes to
/// fall back to (SentencePiece's). Gives the ids of the library `tokenizers`, which writes these files.
public final class BytePairTokenizer: Tokenizer {
  public let vocabularySize: Int
  public let wordVocabularySize: Int
  public let prefix: [Int]
  public let end: Int?
  private let merges: BytePairMerges
  /// Steps that change the text, before ``normalizedTokens`` are looked for and it is cut.
  private let normalizers: [TextPreparation]
  private let cuts: [TextPreparation]
  private let decoding: [TokenDecoding]?
  private let pieces: [Int: String]
  private let specialIDs: Set<Int>
  /// Looked for in the text as it comes, and in the prepared one.
  private let rawTokens: AddedTokens
  private let normalizedTokens: AddedTokens

  /// Reads a `tokenizer.json`.
  ///
  /// - Parameters:
  ///   - bytes: the file's.
  ///   - file: its path, for messages.
  ///   - settings: `tokenizer_config.json` and `special_tokens_map.json`, where they are there: the first that names an
  ///     `eos_token` says what ends an answer.
  ///
  /// - Throws: 65 naming what is damaged, makes no sense, or is not done by this version.
  public convenience init(tokenizerFile bytes: Bytes, file: String, settings: [JSONReader] = []) throws {
    let json = try JSONReader(locating(file: file) { try JSONValue.parse(bytes) }, file: file)
    self.init(try TokenizerFile(json, settings: settings))
  }

  private init(_ file: TokenizerFile) {
    merges = file.merges
    normalizers = file.normalizers
    cuts = file.cuts
    decoding = file.decoding
    prefix = file.prefix
    end = file.end
    var pieces = Dictionary(file.merges.vocabulary.map { ($0.value, $0.key.text) }, uniquingKeysWith: { a, _ in a })
    // A token that is looked for in the changed text is written as it stands there.
    let spelled = file.addedTokens.map { added in
      let steps = added.isNormalized ? file.normalizers : []
      return (added: added, spelling: steps.reduce([added.token.content]) { $1.apply($0, isStart: false) }.joined())
    }
    for (added, spelling) in spelled { pieces[added.token.id] = spelling }
    self.pieces = pieces
    vocabularySize = (pieces.keys.max() ?? -1) + 1
    let added = Set(file.addedTokens.map(\.token.id))
    wordVocabularySize = ((file.merges.vocabulary.values.filter { !added.contains($0) } + file.prefix).max() ?? -1) + 1
    specialIDs = Set(file.addedTokens.filter(\.token.isSpecial).map(\.token.id))
    rawTokens = AddedTokens(spelled.filter { !$0.added.isNormalized }.map { ($0.spelling, $0.added.token) })
    normalizedTokens = AddedTokens(spelled.filter(\.added.isNormalized).map { ($0.spelling, $0.added.token) })
  }

  public func encode(_ text: String, isStart: Bool) throws -> [Int] {
    rawTokens.split(text).enumerated().flatMap { index, piece -> [Int] in
      switch piece {
      case .token(let id): [id]
      case .text(let text): encodeBetweenTokens(text, isStart: isStart && index == 0)
      }
    }
  }

  private func encodeBetweenTokens(_ text: String, isStart: Bool) -> [Int] {
    let normalized = normalizers.reduce([text]) { $1.apply($0, isStart: isStart) }.joined()
    return normalizedTokens.split(normalized).enumerated().flatMap { index, piece -> [Int] in
      switch piece {
      case .token(let id): return [id]
      case .text(let text):
        let pieces = cuts.reduce([text]) { $1.apply($0, isStart: isStart && index == 0) }
        return pieces.flatMap { merges.encode($0) }
      }
    }
  }

  public func decode(_ ids: [Int]) throws -> String {
    let tokens = ids.filter { !specialIDs.contains($0) }.compactMap { pieces[$0] }
    guard let decoding else { return tokens.joined(separator: " ") }
    return decoding.reduce(tokens) { $1.apply($0) }.joined()
  }
}
