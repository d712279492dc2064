/// A rule that cuts text into words before byte pairs are merged. Tokenizers write theirs as regular expressions; these
/// are the few that language models of the LLaMA kind use, by the text of the expression.
struct WordPattern: Sendable, Equatable {
  /// Whether `'s`, `'ll` and their like stand alone in capitals too.
  private let ignoresCase: Bool
  /// Whether a word takes one character before its letters with it, whatever it is but a digit or the end of a line. If
  /// not, letters, digits and marks may each take a blank.
  private let takesAnyPrefix: Bool
  /// The most digits that stand together.
  let longestNumber: Int

  /// GPT-2's: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
  static let gpt2 = WordPattern(ignoresCase: false, takesAnyPrefix: false, longestNumber: .max)

  private static let marks = #" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let letters = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"#

  /// The rule of a regular expression; nil for one that is not known.
  init?(regularExpression text: String) {
    switch text {
    case #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#: self = .gpt2
    // LLaMA 3's, and Qwen 2's, whose digits stand alone.
    case Self.letters + #"\p{N}{1,3}|"# + Self.marks:
      self.init(ignoresCase: true, takesAnyPrefix: true, longestNumber: 3)
    case Self.letters + #"\p{N}|"# + Self.marks:
      self.init(ignoresCase: true, takesAnyPrefix: true, longestNumber: 1)
    default: return nil
    }
  }

  private init(ignoresCase: Bool, takesAnyPrefix: Bool, longestNumber: Int) {
    self.ignoresCase = ignoresCase
    self.takesAnyPrefix = takesAnyPrefix
    self.longestNumber = longestNumber
  }

  /// The words of a text, which together are the text.
  func words(_ text: String) -> [String] {
    let characters = Array(text.unicodeScalars)
    var words: [String] = []
    var start = 0
    while start < characters.count {
      let end = end(of: characters[start...])
      words.append(String(String.UnicodeScalarView(characters[start..<end])))
      start = end
    }
    return words
  }

  /// Where the word at the start of a text ends: behind the first alternative that matches, as the expressions list
  /// them.
  private func end(of text: ArraySlice<Unicode.Scalar>) -> Int {
    let start = text.startIndex
    if let end = contraction(text) { return end }
    let second = text.dropFirst()
    let blank = text[start] == " "
    if let letter = second.first, letter.isLetter, takesAnyPrefix ? text[start].mayPrecedeWord : blank {
      return second.end { $0.isLetter }
    }
    if text[start].isLetter { return text.end { $0.isLetter } }
    if let digit = second.first, digit.isNumber, blank, !takesAnyPrefix { return second.end { $0.isNumber } }
    if text[start].isNumber { return min(text.end { $0.isNumber }, addingClamped(start, longestNumber)) }
    if let mark = blank ? second.first : text[start], mark.isMark {
      let end = (blank ? second : text).end { $0.isMark }
      return takesAnyPrefix ? text[end...].end { $0.endsLine } : end
    }
    // Only blanks are left. All but the last, which goes with the next word, unless nothing follows.
    let end = text.end { $0.properties.isWhitespace }
    if takesAnyPrefix, let line = text[..<end].lastIndex(where: { $0.endsLine }) { return line + 1 }
    return end == text.endIndex || end == start + 1 ? end : end - 1
  }

  private func addingClamped(_ a: Int, _ b: Int) -> Int {
    let (sum, overflow) = a.addingReportingOverflow(b)
    return overflow ? .max : sum
  }

  private func contraction(_ text: ArraySlice<Unicode.Scalar>) -> Int? {
    guard text.first == "'" else { return nil }
    let rest = text.dropFirst().prefix(2).map { ignoresCase ? $0.foldedLetter : $0 }
    switch rest.first {
    case "s", "t", "m", "d": return text.startIndex + 2
    case "r", "v": return rest.last == "e" && rest.count == 2 ? text.startIndex + 3 : nil
    case "l": return rest.last == "l" && rest.count == 2 ? text.startIndex + 3 : nil
    default: return nil
    }
  }
}

extension ArraySlice<Unicode.Scalar> {
  /// Where the run of characters at the start that are such ends.
  fileprivate func end(while isSuch: (Unicode.Scalar) -> Bool) -> Int {
    firstIndex { !isSuch($0) } ?? endIndex
  }
}

extension Unicode.Scalar {
  /// `\p{L}`.
  fileprivate var isLetter: Bool {
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: false
    }
  }

  /// `\p{N}`.
  var isNumber: Bool {
    switch properties.generalCategory {
    case .decimalNumber, .letterNumber, .otherNumber: true
    default: false
    }
  }

  /// `[^\s\p{L}\p{N}]`.
  fileprivate var isMark: Bool { !isLetter && !isNumber && !properties.isWhitespace }

  /// `[\r\n]`.
  fileprivate var endsLine: Bool { self == "\r" || self == "\n" }

  /// `[^\r\n\p{L}\p{N}]`.
  fileprivate var mayPrecedeWord: Bool { !endsLine && !isLetter && !isNumber }

  /// The small letter that a letter of a contraction equals where case does not matter; the long s is one of them.
  fileprivate var foldedLetter: Unicode.Scalar {
    if self == "\u{17F}" { return "s" }
    return ("A"..."Z").contains(self) ? Unicode.Scalar(UInt8(value + 32)) : self
  }
}
