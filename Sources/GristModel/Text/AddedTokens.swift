import GristCore

/// Tokens that are found in a text before anything else is done with it, and are never cut.
struct AddedTokens: Sendable {
  struct Token: Sendable {
    let id: Int
    let content: String
    let isSpecial: Bool
    /// Whether it counts only between characters that are no letters, digits or underscores.
    let isWord: Bool
    /// Whether it takes the blanks before or behind it with it.
    let takesBlanksBefore: Bool
    let takesBlanksBehind: Bool
  }

  /// A stretch of text, or a token found.
  enum Piece: Equatable {
    case text(String)
    case token(Int)
  }

  /// By the first byte, the longest first.
  private let byFirstByte: [UInt8: [(bytes: [UInt8], token: Token)]]

  /// - Parameter tokens: with the spelling under which each is looked for.
  init(_ tokens: [(spelling: String, token: Token)]) {
    let spelled = tokens.compactMap { spelling, token -> (UInt8, (bytes: [UInt8], token: Token))? in
      let bytes = Array(spelling.utf8)
      return bytes.first.map { ($0, (bytes, token)) }
    }
    byFirstByte = Dictionary(grouping: spelled) { $0.0 }.mapValues { group in
      group.map(\.1).sorted { $0.bytes.count > $1.bytes.count }
    }
  }

  /// Cuts a text at the tokens: from the left, the longest where several begin.
  func split(_ text: String) -> [Piece] {
    guard !byFirstByte.isEmpty else { return text.isEmpty ? [] : [.text(text)] }
    let bytes = Array(text.utf8)
    var pieces: [Piece] = []
    // Where what is not yet in a piece begins.
    var start = 0
    func finish(_ end: Int) {
      if end > start { pieces.append(.text(String(decoding: bytes[start..<end], as: UTF8.self))) }
    }
    var position = 0
    while position < bytes.count {
      guard let found = byFirstByte[bytes[position]]?.first(where: { bytes[position...].starts(with: $0.bytes) }) else {
        position += 1
        continue
      }
      var (from, to) = (position, position + found.bytes.count)
      position = to
      if found.token.isWord, bytes[..<from].endsInWord || bytes[to...].beginsWithWord { continue }
      if found.token.takesBlanksBefore { from = max(start, from - bytes[..<from].blanksAtEnd) }
      if found.token.takesBlanksBehind { to += bytes[to...].blanksAtStart }
      guard from >= start else { continue }
      finish(from)
      pieces.append(.token(found.token.id))
      start = to
      position = max(position, to)
    }
    finish(bytes.count)
    return pieces
  }
}

extension ArraySlice<UInt8> {
  private var scalars: String.UnicodeScalarView { String(decoding: self, as: UTF8.self).unicodeScalars }

  /// Bytes of the white space at the start.
  fileprivate var blanksAtStart: Int {
    scalars.prefix { $0.properties.isWhitespace }.reduce(0) { $0 + $1.utf8.count }
  }

  /// Bytes of the white space at the end.
  fileprivate var blanksAtEnd: Int {
    scalars.reversed().prefix { $0.properties.isWhitespace }.reduce(0) { $0 + $1.utf8.count }
  }

  fileprivate var beginsWithWord: Bool { scalars.first?.isOfWord ?? false }
  fileprivate var endsInWord: Bool { scalars.last?.isOfWord ?? false }
}

extension Unicode.Scalar {
  fileprivate var utf8: [UInt8] { Array(String(self).utf8) }

  /// `\w`: letters, digits, the marks that belong to them, and what joins words.
  fileprivate var isOfWord: Bool {
    switch properties.generalCategory {
    case .connectorPunctuation, .decimalNumber, .nonspacingMark, .spacingMark, .enclosingMark: true
    default: properties.isAlphabetic || value == 0x200c || value == 0x200d
    }
  }
}
