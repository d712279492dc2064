import GristCore

/// What a `tokenizer.model` says: pieces with their scores, and how text becomes them. Field numbers are those of
/// SentencePiece's `sentencepiece_model.proto`.
struct SentencePieceModel: Sendable {
  enum PieceType: UInt64, Sendable {
    case normal = 1
    case unknown, control, userDefined, unused, byte

    /// Whether text can become such a piece by its spelling.
    var isSpelled: Bool { self == .normal || self == .userDefined || self == .unused }
  }

  enum Algorithm: UInt64, Sendable {
    case unigram = 1
    case bytePairs, words, characters
  }

  /// How text is normalized before it is cut into pieces, or behind decoding.
  struct Normalization: Sendable {
    var characterMap = Bytes()
    var addsDummyPrefix = true
    var removesExtraBlanks = true
    var escapesBlanks = true
  }

  /// Spellings, one behind the other; where each begins, and at last where the last ends.
  private(set) var spellings: [UInt8] = []
  private(set) var starts: [Int] = [0]
  private(set) var scores: [Float] = []
  private(set) var types: [PieceType] = []
  private(set) var algorithm = Algorithm.unigram
  private(set) var fallsBackToBytes = false
  private(set) var putsBlanksBehind = false
  private(set) var normalization = Normalization()
  private(set) var denormalization: Normalization?
  private(set) var unknownSurface = Array(" \u{2047} ".utf8)
  private(set) var beginningName = Array("<s>".utf8)
  private(set) var endName = Array("</s>".utf8)

  var count: Int { types.count }

  /// The spelling of a piece.
  func spelling(_ id: Int) -> ArraySlice<UInt8> { spellings[starts[id]..<starts[id + 1]] }

  /// - Throws: 65 when the bytes are no such model, or one that contradicts itself.
  init(_ bytes: Bytes) throws {
    var reader = ProtobufReader(bytes)
    while let (number, value) = try reader.next() {
      switch (number, value) {
      case (1, .bytes(let message)): try addPiece(message)
      case (2, .bytes(let message)): try readTraining(message)
      case (3, .bytes(let message)): try Self.read(message, into: &normalization)
      case (5, .bytes(let message)):
        var other = denormalization ?? Normalization()
        try Self.read(message, into: &other)
        denormalization = other
      default: break
      }
    }
    if denormalization?.characterMap.count == 0 { denormalization = nil }
  }

  private mutating func addPiece(_ message: Bytes) throws {
    var reader = ProtobufReader(message)
    var (spelling, score, type) = (Bytes(), Float(0), PieceType.normal)
    while let (number, value) = try reader.next() {
      switch (number, value) {
      case (1, .bytes(let bytes)): spelling = bytes
      case (2, .fixed32(let bits)): score = Float(bitPattern: bits)
      case (3, .integer(let number)): type = PieceType(rawValue: number) ?? type
      default: break
      }
    }
    guard spelling.count > 0 else {
      throw GristError(.badData, "a piece of the tokenizer is empty", found: "piece \(count)")
    }
    guard score.isFinite else {
      throw GristError(.badData, "a piece's score is not a finite number", found: "piece \(count)")
    }
    spelling.withUnsafeBytes { spellings += $0 }
    starts.append(spellings.count)
    scores.append(score)
    types.append(type)
  }

  private mutating func readTraining(_ message: Bytes) throws {
    var reader = ProtobufReader(message)
    while let (number, value) = try reader.next() {
      switch (number, value) {
      case (3, .integer(let number)): algorithm = Algorithm(rawValue: number) ?? algorithm
      case (24, .integer(let flag)): putsBlanksBehind = flag != 0
      case (35, .integer(let flag)): fallsBackToBytes = flag != 0
      case (44, .bytes(let text)): unknownSurface = text.array
      case (46, .bytes(let text)): beginningName = text.array
      case (47, .bytes(let text)): endName = text.array
      default: break
      }
    }
  }

  private static func read(_ message: Bytes, into normalization: inout Normalization) throws {
    var reader = ProtobufReader(message)
    while let (number, value) = try reader.next() {
      switch (number, value) {
      case (2, .bytes(let map)): normalization.characterMap = map
      case (3, .integer(let flag)): normalization.addsDummyPrefix = flag != 0
      case (4, .integer(let flag)): normalization.removesExtraBlanks = flag != 0
      case (5, .integer(let flag)): normalization.escapesBlanks = flag != 0
      default: break
      }
    }
  }
}

/// The mark that stands for a blank, U+2581.
let blankMark: [UInt8] = [0xe2, 0x96, 0x81]

/// Bytes of the character that begins with `byte`, as its first bits tell.
func characterLength(_ byte: UInt8) -> Int {
  switch byte >> 4 {
  case 0xc, 0xd: 2
  case 0xe: 3
  case 0xf: 4
  default: 1
  }
}

/// Bytes of the UTF-8 character at the start; nil where there is none.
func validCharacterLength(_ bytes: ArraySlice<UInt8>) -> Int? {
  guard let first = bytes.first else { return nil }
  if first < 0x80 { return 1 }
  func follow(_ count: Int) -> UInt32? {
    guard bytes.count > count else { return nil }
    var value: UInt32 = 0
    for byte in bytes.dropFirst().prefix(count) {
      guard byte & 0xc0 == 0x80 else { return nil }
      value = value << 6 | UInt32(byte & 0x3f)
    }
    return value
  }
  if first & 0xe0 == 0xc0, let rest = follow(1), UInt32(first & 0x1f) << 6 | rest >= 0x80 { return 2 }
  if first & 0xf0 == 0xe0, let rest = follow(2) {
    let value = UInt32(first & 0x0f) << 12 | rest
    if value >= 0x800, !(0xd800..<0xe000).contains(value) { return 3 }
  }
  if first & 0xf8 == 0xf0, let rest = follow(3) {
    let value = UInt32(first & 0x07) << 18 | rest
    if (0x10000...0x10ffff).contains(value) { return 4 }
  }
  return nil
}
