import GristCore

/// What a `tokenizer.json` says, as far as this version does it; what it cannot do is refused by name.
///
/// The format is that of the library `tokenizers` (0.23), whose serialization is its only description.
struct TokenizerFile {
  let merges: BytePairMerges
  let normalizers: [TextPreparation]
  let cuts: [TextPreparation]
  /// Nil: tokens are put behind each other with a blank between them.
  let decoding: [TokenDecoding]?
  let addedTokens: [(token: AddedTokens.Token, isNormalized: Bool)]
  let prefix: [Int]
  let end: Int?

  /// Ids may not be greater: tables of embeddings are not, and ids stand in 32 bits.
  private static let greatestID = 16_777_216

  /// - Parameter settings: `tokenizer_config.json` and `special_tokens_map.json`, where they are there: the first that
  ///   names an `eos_token` says what ends an answer.
  ///
  /// - Throws: 65 naming what is missing, does not fit, or is not known.
  init(_ json: JSONReader, settings: [JSONReader]) throws {
    merges = try Self.merges(json.object("model"))
    addedTokens = try json.objects("added_tokens", default: []).map(Self.addedToken)
    normalizers = try Self.steps(json, "normalizer", members: "normalizers", Self.normalizer)
    cuts = try Self.steps(json, "pre_tokenizer", members: "pretokenizers", Self.cut)
    decoding = json.has("decoder") ? try Self.steps(json, "decoder", members: "decoders", Self.decodingStep) : nil
    prefix = try Self.prefix(json)
    for key in ["truncation", "padding"] where json.has(key) {
      throw json.failure(key, "null: prompts are neither cut nor filled up")
    }
    end = try Self.endToken(settings).map { [merges, addedTokens] name in
      let added = addedTokens.first { ByteName($0.token.content) == ByteName(name) }?.token.id
      guard let id = added ?? merges.vocabulary[ByteName(name)] else {
        throw GristError(
          .badData, "the tokenizer has no such token as \"eos_token\" names", file: json.file, found: name)
      }
      return id
    }
  }

  private static func merges(_ model: JSONReader) throws -> BytePairMerges {
    guard try model.string("type", default: "BPE") == "BPE" else { throw model.failure("type", "BPE") }
    for affix in ["continuing_subword_prefix", "end_of_word_suffix"]
    where try !model.string(affix, default: "").isEmpty {
      throw model.failure(affix, "empty: this version joins pieces as they are")
    }
    guard try model.double("dropout", default: 0) == 0 else { throw model.failure("dropout", "0") }
    let pieces = try model.object("vocab")
    var vocabulary: [ByteName: Int] = [:]
    vocabulary.reserveCapacity(pieces.object.members.count)
    for (name, value) in pieces.object.members {
      guard let id = value.integer, (0...greatestID).contains(id) else {
        throw pieces.failure(name, "an id from 0 to \(greatestID)")
      }
      vocabulary[ByteName(name)] = id
    }
    func id(_ piece: String, in merge: String) throws -> Int {
      guard let id = vocabulary[ByteName(piece)] else {
        throw GristError(
          .badData, "a merge names a piece that the tokenizer's vocabulary lacks", file: model.file,
          found: "\(piece) in \(merge)")
      }
      return id
    }
    let listed = try model.array("merges")
    var merges = [BytePairMerges.Pair: BytePairMerges.Merge](minimumCapacity: listed.count)
    for (rank, value) in listed.enumerated() {
      guard let (left, right) = pair(value) else {
        throw GristError(
          .badData, "\"model.merges\" must hold pairs of pieces", file: model.file, found: value.text())
      }
      let merge = "\(left) \(right)"
      let pair = BytePairMerges.Pair(left: try id(left, in: merge), right: try id(right, in: merge))
      // A pair that is listed twice counts where it stands last.
      merges[pair] = BytePairMerges.Merge(rank: rank, result: try id(left + right, in: merge))
    }
    let fallsBack = try model.bool("byte_fallback", default: false)
    let bytes = (UInt8.min...UInt8.max).map { byte in
      vocabulary[ByteName("<0x" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true) + ">")]
    }
    let fuses = try model.bool("fuse_unk", default: false)
    let unknown: BytePairMerges.Unknown =
      model.has("unk_token")
      ? .token(try id(try model.string("unk_token"), in: "\"unk_token\""), fuses: fuses) : .dropped
    return BytePairMerges(
      vocabulary: vocabulary, merges: merges, bytes: fallsBack ? bytes : nil, unknown: unknown,
      prefersWholePieces: try model.bool("ignore_merges", default: false))
  }

  /// `["a", "b"]`, or as older files have it, `"a b"`.
  private static func pair(_ value: JSONValue) -> (String, String)? {
    let parts: [String]
    if let text = value.string {
      parts = text.unicodeScalars.split(separator: " ", omittingEmptySubsequences: false).map { String($0) }
    } else {
      let members = value.array ?? []
      parts = members.compactMap(\.string)
      guard parts.count == members.count else { return nil }
    }
    return parts.count == 2 ? (parts[0], parts[1]) : nil
  }

  private static func addedToken(_ json: JSONReader) throws -> (token: AddedTokens.Token, isNormalized: Bool) {
    let isSpecial = try json.bool("special", default: false)
    let token = AddedTokens.Token(
      id: try json.integer("id", in: 0...greatestID), content: try json.string("content"), isSpecial: isSpecial,
      isWord: try json.bool("single_word", default: false),
      takesBlanksBefore: try json.bool("lstrip", default: false),
      takesBlanksBehind: try json.bool("rstrip", default: false))
    return (token, try json.bool("normalized", default: !isSpecial))
  }

  /// The steps of a part that is absent, one step, or a `Sequence` of them.
  private static func steps<Step>(
    _ json: JSONReader, _ key: String, members: String, _ step: (JSONReader) throws -> Step
  ) throws -> [Step] {
    guard json.has(key) else { return [] }
    let part = try json.object(key)
    guard try part.string("type") == "Sequence" else { return [try step(part)] }
    return try part.objects(members).map { member in
      guard try member.string("type") != "Sequence" else { throw member.failure("type", "a single step") }
      return try step(member)
    }
  }

  private static func normalizer(_ json: JSONReader) throws -> TextPreparation {
    switch try json.string("type") {
    case "Prepend": return .prepend(try json.string("prepend"))
    case "Replace": return .replace(try pattern(json), with: try json.string("content"))
    default: throw json.failure("type", "Prepend or Replace: this version changes text in no other way")
    }
  }

  private static func cut(_ json: JSONReader) throws -> TextPreparation {
    switch try json.string("type") {
    case "ByteLevel":
      return .bytes(
        addsBlank: try json.bool("add_prefix_space", default: true), words: try json.bool("use_regex", default: true))
    case "Digits": return .digits(individually: try json.bool("individual_digits", default: false))
    case "Metaspace":
      return .metaspace(
        mark: try mark(json), prefix: try prependScheme(json), cuts: try json.bool("split", default: true))
    case "Split":
      guard try json.string("behavior") == "Isolated", try !json.bool("invert", default: false) else {
        throw json.failure("behavior", "Isolated, and \"invert\" false")
      }
      let expression = try json.object("pattern").string("Regex")
      guard let pattern = WordPattern(regularExpression: expression) else {
        throw try json.object("pattern").failure("Regex", "GPT-2's, LLaMA 3's or Qwen 2's")
      }
      return .words(pattern)
    default: throw json.failure("type", "ByteLevel, Digits, Metaspace or Split")
    }
  }

  private static func decodingStep(_ json: JSONReader) throws -> TokenDecoding {
    switch try json.string("type") {
    case "ByteLevel": return .bytes
    case "ByteFallback": return .byteFallback
    case "Fuse": return .fuse
    case "Replace": return .replace(try pattern(json), with: try json.string("content"))
    case "Strip":
      guard let character = try json.string("content").unicodeScalars.first else {
        throw json.failure("content", "a character")
      }
      return .strip(
        character, start: try json.integer("start", in: 0...65_536), end: try json.integer("stop", in: 0...65_536))
    case "Metaspace": return .metaspace(mark: try mark(json), wasPrepended: try prependScheme(json) != .never)
    default: throw json.failure("type", "ByteLevel, ByteFallback, Fuse, Metaspace, Replace or Strip")
    }
  }

  private static func pattern(_ json: JSONReader) throws -> String {
    let pattern = try json.object("pattern")
    guard pattern.has("String") else { throw json.failure("pattern", "a text, not an expression") }
    return try pattern.string("String")
  }

  private static func mark(_ json: JSONReader) throws -> String {
    let mark = try json.string("replacement", default: "\u{2581}")
    guard mark.unicodeScalars.count == 1 else { throw json.failure("replacement", "one character") }
    return mark
  }

  private static func prependScheme(_ json: JSONReader) throws -> TextPreparation.Prefix {
    // Older files say only whether.
    guard json.has("prepend_scheme") else {
      return try json.bool("add_prefix_space", default: true) ? .always : .never
    }
    guard let scheme = TextPreparation.Prefix(rawValue: try json.string("prepend_scheme")) else {
      throw json.failure("prepend_scheme", "always, first or never")
    }
    return scheme
  }

  /// The ids that the post-processor puts before a text.
  ///
  /// - Throws: 65 where it puts any behind it.
  private static func prefix(_ json: JSONReader) throws -> [Int] {
    guard json.has("post_processor") else { return [] }
    let part = try json.object("post_processor")
    let processors = try part.string("type") == "Sequence" ? try part.objects("processors") : [part]
    var ids: [Int] = []
    for processor in processors {
      switch try processor.string("type") {
      // Changes offsets alone.
      case "ByteLevel": continue
      case "TemplateProcessing": ids += try templatePrefix(processor)
      default: throw processor.failure("type", "ByteLevel or TemplateProcessing")
      }
    }
    return ids
  }

  private static func templatePrefix(_ json: JSONReader) throws -> [Int] {
    let parts = try json.objects("single")
    guard let last = parts.last, last.has("Sequence"), parts.dropLast().allSatisfy({ $0.has("SpecialToken") }) else {
      throw json.failure("single", "special tokens, then the text")
    }
    let tokens = try json.object("special_tokens")
    return try parts.dropLast().flatMap { part in
      try tokens.object(part.object("SpecialToken").string("id")).integers("ids", in: 0...greatestID)
    }
  }

  private static func endToken(_ settings: [JSONReader]) throws -> String? {
    for json in settings {
      switch json.value("eos_token") {
      case .string(let text)?: return text
      case .object?: return try json.object("eos_token").string("content")
      case nil: continue
      default: throw json.failure("eos_token", "a token")
      }
    }
    return nil
  }
}
