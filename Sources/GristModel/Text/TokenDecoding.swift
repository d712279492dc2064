/// What makes text of tokens again, a step.
enum TokenDecoding: Sendable, Equatable {
  case replace(String, with: String)
  /// Runs of `<0x..>` become the character that their bytes are, or U+FFFD each where they are none.
  case byteFallback
  case fuse
  /// Up to so many of a character go from the start and the end of every token.
  case strip(Unicode.Scalar, start: Int, end: Int)
  /// All tokens' bytes at once, written as ``ByteCharacters``.
  case bytes
  /// A mark is a blank again; in the first token, where one was put before the text, it goes.
  case metaspace(mark: String, wasPrepended: Bool)

  func apply(_ tokens: [String]) -> [String] {
    switch self {
    case .replace(let old, let new): return tokens.map { $0.replacing(bytesOf: old, with: new) }
    case .byteFallback: return Self.withBytes(tokens)
    case .fuse: return [tokens.joined()]
    case .strip(let character, let start, let end):
      return tokens.map { token in
        var scalars = Array(token.unicodeScalars)
        scalars.removeFirst(scalars.prefix(start).prefix { $0 == character }.count)
        scalars.removeLast(scalars.suffix(end).reversed().prefix { $0 == character }.count)
        return String(String.UnicodeScalarView(scalars))
      }
    case .bytes: return [String(decoding: tokens.flatMap(ByteCharacters.bytes), as: UTF8.self)]
    case .metaspace(let mark, let wasPrepended):
      return tokens.enumerated().map { index, token in
        token.replacing(bytesOf: mark, with: index == 0 && wasPrepended ? "" : " ")
      }
    }
  }

  private static func withBytes(_ tokens: [String]) -> [String] {
    var result: [String] = []
    var bytes: [UInt8] = []
    func flush() {
      if let text = String(validating: bytes, as: UTF8.self) {
        if !bytes.isEmpty { result.append(text) }
      } else {
        result += bytes.map { _ in "\u{FFFD}" }
      }
      bytes = []
    }
    for token in tokens {
      if let byte = byte(of: token) {
        bytes.append(byte)
      } else {
        flush()
        result.append(token)
      }
    }
    flush()
    return result
  }

  /// The byte that a token `<0x41>` stands for.
  static func byte(of token: String) -> UInt8? {
    let characters = Array(token.utf8)
    guard characters.count == 6, characters.starts(with: "<0x".utf8), characters[5] == UInt8(ascii: ">") else {
      return nil
    }
    return UInt8(String(decoding: characters[3..<5], as: UTF8.self), radix: 16)
  }
}
