extension String {
  /// The text where it is no longer than a line of a message should be, else its beginning and how long it is.
  package func shortened(to longest: Int = 240) -> String {
    // Bytes are counted first: their number is known, that of characters is not.
    guard utf8.count > longest, unicodeScalars.count > longest else { return self }
    return String(String.UnicodeScalarView(unicodeScalars.prefix(longest))) + "… (\(utf8.count) bytes)"
  }

  /// The text with everything made visible that would steer a terminal instead of being shown: control characters
  /// (escape sequences begin with one) and the marks that reorder text, as `\u{1b}`. Line ends and tabs stay where
  /// `keepingLines` says so.
  package func visible(keepingLines: Bool = false) -> String {
    guard unicodeScalars.contains(where: { $0.steersTerminal && !(keepingLines && ($0 == "\n" || $0 == "\t")) }) else {
      return self
    }
    var out = ""
    for scalar in unicodeScalars {
      if let byte = scalar.escapedByte {
        out += "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
      } else if scalar.steersTerminal, !(keepingLines && (scalar == "\n" || scalar == "\t")) {
        out += "\\u{\(String(scalar.value, radix: 16))}"
      } else {
        out.unicodeScalars.append(scalar)
      }
    }
    return out
  }
}

extension Unicode.Scalar {
  /// C0, DEL and C1 controls, line and paragraph separators, and the bidirectional embeddings, overrides and isolates.
  fileprivate var steersTerminal: Bool {
    switch value {
    case 0..<0x20, 0x7f..<0xa0, 0x2028...0x202e, 0x2066...0x2069: true
    default: isEscape
    }
  }
}
