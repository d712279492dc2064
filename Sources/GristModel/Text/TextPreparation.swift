import GristCore

/// What happens to a text between special tokens before its pieces are looked up: changes of the text, then cuts.
enum TextPreparation: Sendable, Equatable {
  /// `Prepend`: a text that is not empty gets something before it.
  case prepend(String)
  /// `Replace` of one text by another.
  case replace(String, with: String)
  /// `Split` by a regular expression, the words isolated.
  case words(WordPattern)
  /// `Digits`: numbers apart from the rest, each digit alone or whole runs.
  case digits(individually: Bool)
  /// `ByteLevel`: bytes written as printable characters, in words of GPT-2's pattern or in the pieces that came.
  case bytes(addsBlank: Bool, words: Bool)
  /// `Metaspace`: blanks become a mark, before which the text may be cut.
  case metaspace(mark: String, prefix: Prefix, cuts: Bool)

  /// When ``metaspace(mark:prefix:cuts:)`` puts its mark before a text that does not begin with it.
  enum Prefix: String, Sendable { case always, first, never }

  /// - Parameter isStart: whether the first piece stands at the beginning of the sequence.
  func apply(_ pieces: [String], isStart: Bool) -> [String] {
    switch self {
    case .prepend(let text): pieces.map { $0.isEmpty ? $0 : text + $0 }
    case .replace(let old, let new): pieces.map { $0.replacing(bytesOf: old, with: new) }
    case .words(let pattern): pieces.flatMap { pattern.words($0) }
    case .digits(let individually): pieces.flatMap { Self.numbersApart($0, individually: individually) }
    case .bytes(let addsBlank, let words):
      pieces.flatMap { piece in
        let text = addsBlank && piece.unicodeScalars.first != " " ? " " + piece : piece
        return (words ? WordPattern.gpt2.words(text) : [text]).map(ByteCharacters.text)
      }
    case .metaspace(let mark, let prefix, let cuts):
      pieces.enumerated().flatMap { index, piece in
        var text = piece.replacing(bytesOf: " ", with: mark)
        let isFirst = isStart && index == 0
        if prefix == .always || prefix == .first && isFirst, !text.utf8.starts(with: mark.utf8) { text = mark + text }
        return cuts ? Self.cut(text, before: mark) : [text]
      }
    }
  }

  /// Cuts before every mark.
  private static func cut(_ text: String, before mark: String) -> [String] {
    var pieces: [String.UnicodeScalarView] = []
    for scalar in text.unicodeScalars {
      if pieces.isEmpty || String(scalar) == mark { pieces.append(String.UnicodeScalarView()) }
      pieces[pieces.count - 1].append(scalar)
    }
    return pieces.map { String($0) }
  }

  private static func numbersApart(_ text: String, individually: Bool) -> [String] {
    var pieces: [(isNumber: Bool, text: String.UnicodeScalarView)] = []
    for scalar in text.unicodeScalars {
      let isNumber = scalar.isNumber
      if let last = pieces.last, last.isNumber == isNumber, !(isNumber && individually) {
        pieces[pieces.count - 1].text.append(scalar)
      } else {
        pieces.append((isNumber, String.UnicodeScalarView([scalar])))
      }
    }
    return pieces.map { String($0.text) }
  }
}

/// GPT-2's way to write bytes as characters that show: those that are letters or marks of Latin-1 as they are, the
/// other 68 as U+0100 and on.
enum ByteCharacters {
  private static let scalars: [Unicode.Scalar] = {
    var next: UInt16 = 0x100
    return (UInt8.min...UInt8.max).map { byte -> Unicode.Scalar in
      switch byte {
      case 0x21...0x7e, 0xa1...0xac, 0xae...0xff: return Unicode.Scalar(byte)
      default:
        defer { next += 1 }
        // There is one: no more than U+0143.
        return Unicode.Scalar(next) ?? "?"
      }
    }
  }()

  private static let bytesByScalar = Dictionary(uniqueKeysWithValues: zip(scalars, UInt8.min...UInt8.max))

  static func text(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for byte in text.utf8 { result.append(scalars[Int(byte)]) }
    return String(result)
  }

  /// The bytes that a token's characters stand for; the token's own UTF-8 when one of them stands for none.
  static func bytes(_ token: String) -> [UInt8] {
    let bytes = token.unicodeScalars.compactMap { bytesByScalar[$0] }
    return bytes.count == token.unicodeScalars.count ? bytes : Array(token.utf8)
  }
}
