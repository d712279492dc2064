extension String {
  /// The text with everything made visible that would steer a terminal instead of being shown: control characters
  /// (escape sequences begin with one) and the marks that reorder text, as `\u{1b}`. Line ends and tabs stay where
  /// `keepingLines` says so.
  public func visible(keepingLines: Bool = false) -> String {
    guard unicodeScalars.contains(where: { $0.steersTerminal && !(keepingLines && ($0 == "\n" || $0 == "\t")) }) else {
      return self
    }
    var out = ""
    for scalar in unicodeScalars {
      if scalar.steersTerminal, !(keepingLines && (scalar == "\n" || scalar == "\t")) {
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
    default: false
    }
  }
}
