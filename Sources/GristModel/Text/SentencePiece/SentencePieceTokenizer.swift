import GristCore

/// A SentencePiece tokenizer as transformers' LLaMA tokenizers use it: the special tokens `<unk>`, `<s>` and `</s>`
/// spelled out in the text become their ids, and what stands between them is encoded piece by piece. ``Prefixes`` says
/// which of them has a dummy prefix.
///
/// The library of that name trusts the models that it reads; `tokenizer.model` comes from whoever published the
/// checkpoint. So its inference is written here, and gives the library's ids and texts.
public final class SentencePieceTokenizer: Tokenizer {
  /// Which parts of a text begin with the blank that SentencePiece puts before a word.
  public enum Prefixes: Sendable {
    /// All of them: the slow tokenizer as it was, "legacy".
    case all
    /// The one at the start of each chunk that is encoded: the slow tokenizer with `"legacy": false`, as upstream asks
    /// it.
    case chunks
    /// The one at the start of the text: the fast tokenizer that transformers makes of such a file.
    case text
  }

  /// For messages.
  private let file: String
  private let prefixes: Prefixes
  private let model: SentencePieceModel
  private let normalizer: SentencePieceNormalizer
  private let denormalizer: SentencePieceNormalizer?
  private let search: @Sendable ([UInt8]) -> [FoundPiece]
  /// Ids of the 256 byte pieces, where text that is no piece becomes those.
  private let byteIDs: [Int]?
  private let bytes: [Int: UInt8]
  public var vocabularySize: Int { model.count }
  public var prefix: [Int] { [bos] }
  public var end: Int? { eos }
  private let bos: Int
  private let eos: Int
  private let unknown: Int
  private let specialTokens: [(text: [UInt8], id: Int)]

  /// Loads a `tokenizer.model`.
  ///
  /// - Throws: 65 when the bytes are no SentencePiece model or it has no BOS and EOS.
  ///
  /// - Parameters:
  ///   - bytes: the file's.
  ///   - file: its path, for messages.
  ///   - prefixes: which parts of a text have a dummy prefix.
  public convenience init(model bytes: Bytes, file: String, prefixes: Prefixes = .all) throws {
    try self.init(locating(file: file) { try SentencePieceModel(bytes) }, file: file, prefixes: prefixes)
  }

  private init(_ model: SentencePieceModel, file: String, prefixes: Prefixes) throws {
    self.prefixes = prefixes
    func failure(_ what: String, _ found: String? = nil) -> GristError {
      GristError(.badData, what, file: file, found: found, advice: "fetch the tokenizer again")
    }
    guard model.count > 0 else { throw failure("not a SentencePiece model", "no pieces") }
    let ids = Array(model.types.indices)
    guard let spelled = PieceTable(model, ids: ids.filter { model.types[$0].isSpelled }),
      let reserved = PieceTable(model, ids: ids.filter { !model.types[$0].isSpelled }),
      let userDefined = PieceTable(model, ids: ids.filter { model.types[$0] == .userDefined })
    else { throw failure("two pieces of the tokenizer are spelled alike") }
    let unknowns = ids.filter { model.types[$0] == .unknown }
    guard unknowns.count == 1, let unknown = unknowns.first else {
      throw failure("the tokenizer must have one piece for what it does not know", "\(unknowns.count)")
    }
    let id: @Sendable (ArraySlice<UInt8>) -> Int = { reserved.id(of: $0) ?? spelled.id(of: $0) ?? unknown }
    var bytes: [Int: UInt8] = [:]
    for piece in ids where model.types[piece] == .byte {
      let text = String(decoding: model.spelling(piece), as: UTF8.self)
      guard model.fallsBackToBytes, let byte = TokenDecoding.byte(of: text) else {
        throw failure("the tokenizer has a piece for a byte that it cannot use", text)
      }
      bytes[piece] = byte
    }
    if model.fallsBackToBytes {
      let byByte = Dictionary(bytes.map { ($0.value, $0.key) }, uniquingKeysWith: { first, _ in first })
      guard byByte.count == 256 else { throw failure("the tokenizer lacks pieces for bytes", "\(byByte.count) of 256") }
      byteIDs = (UInt8.min...UInt8.max).compactMap { byByte[$0] }
    } else {
      byteIDs = nil
    }
    let special = userDefined.longest > 0 ? userDefined : nil
    normalizer = try locating(file: file) {
      try SentencePieceNormalizer(
        model.normalization, putsBlanksBehind: model.putsBlanksBehind, userDefined: special)
    }
    denormalizer = try locating(file: file) {
      try model.denormalization.map {
        try SentencePieceNormalizer($0, putsBlanksBehind: model.putsBlanksBehind, userDefined: nil)
      }
    }
    switch model.algorithm {
    case .unigram:
      let search = UnigramSearch(model, pieces: spelled, unknown: unknown)
      self.search = { search($0) }
    case .bytePairs:
      let search = BytePairSearch(model: model, pieces: spelled, userDefined: special, id: id)
      self.search = { search($0) }
    case .characters:
      search = { text in
        Self.cut(text) { special?.longestBeginning(of: $0) ?? min(characterLength($0[$0.startIndex]), $0.count) }
          .map { ($0, id(text[$0])) }
      }
    case .words:
      search = { text in Self.cut(text, length: Self.lengthOfWord).map { ($0, id(text[$0])) } }
    }
    /// The control piece of this name; nil where there is none.
    func control(_ name: [UInt8]) -> Int? {
      let id = id(name[...])
      return model.types[id] == .control ? id : nil
    }
    guard let bos = control(model.beginningName), let eos = control(model.endName) else {
      throw failure("the tokenizer has no BOS or no EOS token")
    }
    self.file = file
    (self.model, self.bytes, self.bos, self.eos, self.unknown) = (model, bytes, bos, eos, unknown)
    specialTokens = [("<unk>", unknown), ("<s>", bos), ("</s>", eos)].map { (Array($0.0.utf8), $0.1) }
  }

  /// Ranges that together are the text, each as long as `length` says of what is left.
  private static func cut(_ text: [UInt8], length: (ArraySlice<UInt8>) -> Int) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var start = 0
    while start < text.count {
      let end = start + max(1, length(text[start...]))
      ranges.append(start..<end)
      start = end
    }
    return ranges
  }

  /// Up to the next mark of a blank but the first.
  private static func lengthOfWord(_ text: ArraySlice<UInt8>) -> Int {
    let rest = text.dropFirst(min(characterLength(text[text.startIndex]), text.count))
    let next = rest.indices.first { text[$0...].starts(with: blankMark) } ?? text.endIndex
    return next - text.startIndex
  }

  public func encode(_ text: String, isStart: Bool) throws -> [Int] {
    var ids: [Int] = []
    let bytes = Array(text.utf8)
    // Where what is not yet encoded begins.
    var start = 0
    var position = 0
    while position < bytes.count {
      let rest = bytes[position...]
      guard rest.first == UInt8(ascii: "<"), let token = specialTokens.first(where: { rest.starts(with: $0.text) })
      else {
        position += 1
        continue
      }
      ids += try encodePieces(Array(bytes[start..<position]), takesPrefix: takesPrefix(start, isStart)) + [token.id]
      position += token.text.count
      start = position
    }
    return try ids + encodePieces(Array(bytes[start...]), takesPrefix: takesPrefix(start, isStart))
  }

  /// Whether the part at an offset in a chunk has a dummy prefix.
  private func takesPrefix(_ offset: Int, _ isStart: Bool) -> Bool {
    switch prefixes {
    case .all: true
    case .chunks: offset == 0
    case .text: offset == 0 && isStart
    }
  }

  private func encodePieces(_ text: [UInt8], takesPrefix: Bool) throws -> [Int] {
    guard !text.isEmpty else { return [] }
    let normalized = try locating(file: file) { try normalizer.normalize(text, takesPrefix: takesPrefix) }
    var ids: [Int] = []
    var followsUnknown = false
    for (range, id) in search(normalized) {
      let isUnknown = model.types[id] == .unknown
      if isUnknown, let byteIDs {
        ids += normalized[range].map { byteIDs[Int($0)] }
      } else if !(isUnknown && followsUnknown) {
        // A run of unknown pieces is one.
        ids.append(id)
      }
      followsUnknown = isUnknown
    }
    return ids
  }

  /// BOS, EOS and other control pieces give nothing.
  public func decode(_ ids: [Int]) throws -> String {
    var text: [UInt8] = []
    var run: [UInt8] = []
    var isBeginning = true
    var tookBlank = false
    func endRun() {
      var rest = run[...]
      while !rest.isEmpty {
        if let length = validCharacterLength(rest) {
          text += rest.prefix(length)
          rest = rest.dropFirst(length)
        } else {
          text += [0xef, 0xbf, 0xbd]
          rest = rest.dropFirst()
        }
      }
      run = []
    }
    for id in ids where (0..<model.count).contains(id) && id != bos && id != eos {
      if let byte = bytes[id] {
        run.append(byte)
        continue
      }
      endRun()
      if tookBlank || !text.isEmpty { isBeginning = false }
      tookBlank = false
      switch model.types[id] {
      case .control: continue
      case .unknown: text += model.unknownSurface
      default:
        var spelling = model.spelling(id)
        let settings = model.normalization
        if isBeginning, settings.addsDummyPrefix || settings.removesExtraBlanks, spelling.starts(with: blankMark) {
          spelling = spelling.dropFirst(blankMark.count)
          tookBlank = !settings.removesExtraBlanks
        }
        text += spelling.withBlanks
      }
    }
    endRun()
    if let denormalizer { text = try locating(file: file) { try denormalizer.normalize(text) } }
    return String(decoding: text, as: UTF8.self)
  }
}

extension ArraySlice<UInt8> {
  /// With blanks where their marks are.
  fileprivate var withBlanks: [UInt8] {
    var result: [UInt8] = []
    var rest = self
    while let byte = rest.first {
      let isMark = rest.starts(with: blankMark)
      result.append(isMark ? 0x20 : byte)
      rest = rest.dropFirst(isMark ? blankMark.count : 1)
    }
    return result
  }
}
