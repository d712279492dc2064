// Text that means something to a program is compared byte by byte: to a `String`, a character and the combining mark,
// joiner or variation selector behind it are one character, and no longer the one that was looked for.

extension StringProtocol {
  /// Whether these bytes stand anywhere in the text.
  package func contains(bytesOf text: String) -> Bool {
    Array(utf8).firstRange(of: Array(text.utf8)) != nil
  }

  /// The parts between occurrences of some bytes, from the left.
  package func split(atBytesOf separator: String) -> [String] {
    var parts: [String] = []
    var rest = Array(utf8)[...]
    let separator = Array(separator.utf8)
    while !separator.isEmpty, let range = rest.firstRange(of: separator) {
      parts.append(String(decoding: rest[..<range.lowerBound], as: UTF8.self))
      rest = rest[range.upperBound...]
    }
    return parts + [String(decoding: rest, as: UTF8.self)]
  }

  /// The text with every occurrence of some bytes replaced.
  package func replacing(bytesOf old: String, with new: String) -> String {
    old.isEmpty ? String(self) : split(atBytesOf: old).joined(separator: new)
  }
}
