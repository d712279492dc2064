import GristCore

/// Says "this tensor goes into this scheme": a regular expression over tensor names, and a choice.
public struct StorageOverride: Sendable {
  /// As the user wrote it.
  public let text: String
  public let scheme: RequestedScheme
  private let matches: @Sendable (String) -> Bool

  /// Parses `REGEX=SCHEME`; the last "=" divides. A name matches when the expression is found anywhere in it.
  ///
  /// - Throws: 64.
  public init(_ text: String, groupSize: Int = RequestedScheme.defaultGroupSize) throws {
    guard let divider = text.lastIndex(of: "="), divider != text.startIndex else {
      throw GristError(.usage, "an override must read REGEX=SCHEME", found: text)
    }
    let pattern = String(text[..<divider])
    scheme = try RequestedScheme(String(text[text.index(after: divider)...]), groupSize: groupSize)
    self.text = text
    matches = try nameMatcher(pattern)
  }

  public func applies(to name: String) -> Bool { matches(name) }
}

/// A test whether a regular expression is found anywhere in a name.
///
/// - Throws: 64 when it is none.
public func nameMatcher(_ pattern: String) throws -> @Sendable (String) -> Bool {
  do {
    // Regex is immutable; it only lacks the annotation.
    nonisolated(unsafe) let regex = try Regex(pattern)
    return { $0.firstMatch(of: regex) != nil }
  } catch {
    throw GristError(.usage, "not a regular expression", found: pattern, advice: "\(error)")
  }
}
