import GristCore
import GristSources

/// A tokenizer piece by piece, as other programs' files hold it.
package struct Vocabulary: Sendable {
  package enum Kind: Sendable, Equatable {
    /// SentencePiece's, whose pieces have scores; whether a text's first word has a blank before it.
    case sentencePiece(addsBlank: Bool)
    /// Byte pairs of bytes, cut into words by a pattern that others know by this name.
    case bytePairs(pattern: String)
  }

  package enum PieceType: Int, Sendable {
    case normal = 1
    case unknown, control, userDefined, unused, byte
  }

  package struct Piece: Sendable {
    /// UTF-8, as the tokenizer spells it.
    package let spelling: [UInt8]
    package let score: Float
    package let type: PieceType
  }

  package let kind: Kind
  /// By id.
  package private(set) var pieces: [Piece]
  /// "left right", the earliest learned first; of byte pairs.
  package let merges: [String]
  /// The ids that every sequence begins with.
  package let prefix: [Int]
  package let end: Int?

  /// - Parameter files: of the model.
  ///
  /// - Throws: 66 when there is no tokenizer; 65 when its file is damaged, or is of a kind that no other program's file
  ///   could hold.
  package init(_ source: Source, kinds: [TokenizerKind]) throws {
    for kind in kinds {
      guard let bytes = try source.sideFile(named: kind.fileName) else { continue }
      let place = joinPath(source.path, kind.fileName)
      let tokenizer = try source.tokenizer(kinds)
      switch kind {
      case .sentencePiece:
        try self.init(
          locating(file: place) { try SentencePieceModel(bytes) }, prefix: tokenizer.prefix, end: tokenizer.end)
      case .tokenizers:
        let json = try JSONReader(locating(file: place) { try JSONValue.parse(bytes) }, file: place)
        try self.init(json, prefix: tokenizer.prefix, end: tokenizer.end)
      }
      try add(Self.addedTokens(source))
      return
    }
    throw GristError(.missingInput, "the model has no tokenizer", file: source.path)
  }

  private init(_ model: SentencePieceModel, prefix: [Int], end: Int?) throws {
    kind = .sentencePiece(addsBlank: model.normalization.addsDummyPrefix)
    pieces = (0..<model.count).map { id in
      Piece(
        spelling: Array(model.spelling(id)), score: model.scores[id],
        type: PieceType(rawValue: Int(model.types[id].rawValue)) ?? .normal)
    }
    merges = []
    (self.prefix, self.end) = (prefix, end)
  }

  private init(_ json: JSONReader, prefix: [Int], end: Int?) throws {
    let model = try json.object("model")
    func failure(_ what: String) -> GristError {
      GristError(
        .badData, "a tokenizer that GGUF has no words for", file: json.file, found: what,
        advice: "put the model's tokenizer.model into the checkpoint's folder, and convert again")
    }
    let vocabulary = try model.object("vocab").object
    let steps = json.value("pre_tokenizer").map { $0["pretokenizers"]?.array ?? [$0] } ?? []
    guard steps.contains(where: { $0["type"]?.string == "ByteLevel" }) else { throw failure("no byte-level pairs") }
    let expression = steps.lazy.compactMap { $0["pattern"]?["Regex"]?.string }.first
    guard let pattern = expression.map({ WordPattern(regularExpression: $0)?.name }) ?? "gpt-2" else {
      throw failure(expression ?? "")
    }
    kind = .bytePairs(pattern: pattern)
    merges = try model.array("merges").map { value in
      value.string ?? (value.array ?? []).compactMap(\.string).joined(separator: " ")
    }
    pieces = []
    (self.prefix, self.end) = (prefix, end)
    for (name, value) in vocabulary.members {
      guard let id = value.integer, (0...16_777_216).contains(id) else { throw failure("an id") }
      set(id, Piece(spelling: Array(name.utf8), score: 0, type: .normal))
    }
    add(
      try json.objects("added_tokens", default: []).map { token in
        (
          try token.integer("id", in: 0...16_777_216), try token.string("content"),
          try token.bool("special", default: false)
        )
      })
  }

  private mutating func set(_ id: Int, _ piece: Piece) {
    grow(to: id + 1)
    pieces[id] = piece
  }

  /// Fills up with pieces that no text becomes: a model's table may have more rows than its tokenizer pieces.
  package mutating func grow(to count: Int) {
    while pieces.count < count {
      pieces.append(Piece(spelling: Array("[PAD\(pieces.count)]".utf8), score: -1000, type: .unused))
    }
  }

  private mutating func add(_ tokens: [(id: Int, content: String, isSpecial: Bool)]) {
    for (id, content, isSpecial) in tokens {
      // A piece of the model's own keeps its score.
      if id < pieces.count, pieces[id].type != .normal, pieces[id].type != .unused { continue }
      set(
        id, Piece(spelling: Array(content.utf8), score: -1000, type: isSpecial ? .control : .userDefined))
    }
  }

  /// What transformers' files add to a tokenizer's own pieces.
  private static func addedTokens(_ source: Source) throws -> [(id: Int, content: String, isSpecial: Bool)] {
    var tokens: [(id: Int, content: String, isSpecial: Bool)] = []
    if let added = try source.sideFiles.json("added_tokens.json") {
      for (content, value) in added.object.members {
        if let id = value.integer, (0...16_777_216).contains(id) { tokens.append((id, content, false)) }
      }
    }
    if let settings = try source.sideFiles.json("tokenizer_config.json"), settings.has("added_tokens_decoder") {
      for (name, value) in try settings.object("added_tokens_decoder").object.members {
        guard let id = Int(name), (0...16_777_216).contains(id), let content = value["content"]?.string else {
          continue
        }
        tokens.append((id, content, value["special"]?.bool ?? false))
      }
    }
    return tokens
  }
}

extension WordPattern {
  /// What llama.cpp calls it; nil for one that it does not know.
  fileprivate var name: String? {
    if self == .gpt2 { return "gpt-2" }
    return longestNumber == 3 ? "llama-bpe" : longestNumber == 1 ? "qwen2" : nil
  }
}
