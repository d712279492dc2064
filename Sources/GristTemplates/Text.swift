/// A string as Python has it: a row of code points, compared one by one.
struct Text: Hashable, Comparable, Sendable, ExpressibleByStringLiteral {
  var scalars: [Unicode.Scalar]

  init(_ scalars: some Sequence<Unicode.Scalar>) { self.scalars = Array(scalars) }
  init(_ text: String) { scalars = Array(text.unicodeScalars) }
  init(stringLiteral text: String) { self.init(text) }

  var string: String { String(String.UnicodeScalarView(scalars)) }
  var count: Int { scalars.count }
  var isEmpty: Bool { scalars.isEmpty }

  static func < (a: Text, b: Text) -> Bool { a.scalars.lexicographicallyPrecedes(b.scalars) }
  static func + (a: Text, b: Text) -> Text { Text(a.scalars + b.scalars) }

  /// `str.isspace` of one character.
  static func isBlank(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x09...0x0d, 0x1c...0x20, 0x85, 0xa0, 0x1680, 0x2000...0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000: true
    default: false
    }
  }

  /// Without the characters of `set`, blanks where it is nil, at either end.
  func stripped(_ set: Text? = nil, left: Bool = true, right: Bool = true) -> Text {
    let members = set.map { Set($0.scalars) }
    func goes(_ scalar: Unicode.Scalar) -> Bool { members?.contains(scalar) ?? Text.isBlank(scalar) }
    var (start, end) = (0, scalars.count)
    while left, start < end, goes(scalars[start]) { start += 1 }
    while right, end > start, goes(scalars[end - 1]) { end -= 1 }
    return Text(scalars[start..<end])
  }

  /// Where `other` stands first at or behind `start`.
  func index(of other: Text, from start: Int = 0) -> Int? {
    guard other.count <= count - start, start >= 0 else { return nil }
    guard let first = other.scalars.first else { return start }
    var position = start
    while position <= count - other.count {
      if scalars[position] == first, scalars[position..<position + other.count].elementsEqual(other.scalars) {
        return position
      }
      position += 1
    }
    return nil
  }

  func lastIndex(of other: Text) -> Int? {
    guard other.count <= count else { return nil }
    return stride(from: count - other.count, through: 0, by: -1).first {
      scalars[$0..<$0 + other.count].elementsEqual(other.scalars)
    }
  }

  func contains(_ other: Text) -> Bool { index(of: other) != nil }

  func occurrences(of other: Text) -> Int {
    guard !other.isEmpty else { return count + 1 }
    var (found, position) = (0, 0)
    while let next = index(of: other, from: position) {
      found += 1
      position = next + other.count
    }
    return found
  }

  func replacing(_ old: Text, with new: Text, most: Int = .max) -> Text {
    guard most != 0 else { return self }
    var result: [Unicode.Scalar] = []
    var (position, left) = (0, most < 0 ? Int.max : most)
    if old.isEmpty {
      for scalar in scalars {
        if left > 0 {
          result += new.scalars
          left -= 1
        }
        result.append(scalar)
      }
      return Text(left > 0 ? result + new.scalars : result)
    }
    while left > 0, let next = index(of: old, from: position) {
      result += scalars[position..<next] + new.scalars
      position = next + old.count
      left -= 1
    }
    return Text(result + scalars[position...])
  }

  /// `str.split`: at a separator, or at runs of blanks where it is nil.
  func split(_ separator: Text?, most: Int = -1) -> [Text] {
    guard let separator else {
      var parts: [Text] = []
      var rest = stripped(right: false)
      while !rest.isEmpty {
        guard parts.count != most, let end = rest.scalars.firstIndex(where: Text.isBlank) else {
          // What is left keeps its blanks but those at the end, which have nothing behind them.
          return parts + [parts.count == most ? rest.stripped(left: false) : rest]
        }
        parts.append(Text(rest.scalars[..<end]))
        rest = Text(rest.scalars[end...]).stripped(right: false)
      }
      return parts
    }
    var parts: [Text] = []
    var position = 0
    while parts.count != most, let next = index(of: separator, from: position) {
      parts.append(Text(scalars[position..<next]))
      position = next + separator.count
    }
    return parts + [Text(scalars[position...])]
  }

  /// `str.rsplit` with a separator.
  func splitFromEnd(_ separator: Text?, most: Int) -> [Text] {
    guard most >= 0 else { return split(separator) }
    guard let separator else {
      var parts: [Text] = []
      var rest = stripped(left: false)
      while !rest.isEmpty {
        guard parts.count != most, let start = rest.scalars.lastIndex(where: Text.isBlank) else {
          return [parts.count == most ? rest.stripped(right: false) : rest] + parts.reversed()
        }
        parts.append(Text(rest.scalars[(start + 1)...]))
        rest = Text(rest.scalars[..<start]).stripped(left: false)
      }
      return parts.reversed()
    }
    var parts: [Text] = []
    var rest = self
    while parts.count != most, let next = rest.lastIndex(of: separator) {
      parts.append(Text(rest.scalars[(next + separator.count)...]))
      rest = Text(rest.scalars[..<next])
    }
    return [rest] + parts.reversed()
  }

  /// `str.splitlines`.
  func lines(keepingEnds: Bool = false) -> [Text] {
    var lines: [Text] = []
    var (start, position) = (0, 0)
    while position < count {
      let value = scalars[position].value
      guard [0x0a, 0x0b, 0x0c, 0x0d, 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029].contains(value) else {
        position += 1
        continue
      }
      let end = position
      position += value == 0x0d && position + 1 < count && scalars[position + 1].value == 0x0a ? 2 : 1
      lines.append(Text(scalars[start..<(keepingEnds ? position : end)]))
      start = position
    }
    return start < count ? lines + [Text(scalars[start...])] : lines
  }

  /// Each character as `change` maps it.
  private func mapped(_ change: (Unicode.Scalar) -> String) -> Text {
    Text(scalars.flatMap { change($0).unicodeScalars })
  }

  var uppercased: Text { mapped(\.properties.uppercaseMapping) }

  var lowercased: Text {
    // A capital sigma at a word's end has a form of its own.
    var result: [Unicode.Scalar] = []
    for (index, scalar) in scalars.enumerated() {
      if scalar == "\u{3a3}" {
        let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }?.properties.isCased ?? false
        let behind = scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable }?.properties.isCased ?? false
        result.append(before && !behind ? "\u{3c2}" : "\u{3c3}")
      } else {
        result += scalar.properties.lowercaseMapping.unicodeScalars
      }
    }
    return Text(result)
  }

  /// `str.capitalize`.
  var capitalized: Text {
    guard let first = scalars.first else { return self }
    return Text(first.properties.titlecaseMapping)
      + Text(
        Array(
          lowercased.scalars.dropFirst(
            Text([first]).lowercased.count)))
  }

  /// `str.title`.
  var titled: Text {
    var result: [Unicode.Scalar] = []
    var followsCased = false
    for scalar in scalars {
      let text = followsCased ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
      result += text.unicodeScalars
      followsCased = scalar.properties.isCased
    }
    return Text(result)
  }

  private func all(_ isSuch: (Unicode.Scalar) -> Bool) -> Bool { !isEmpty && scalars.allSatisfy(isSuch) }

  var isDigits: Bool {
    all { $0.properties.numericType == .decimal || $0.properties.numericType == .digit }
  }
  var isDecimal: Bool { all { $0.properties.numericType == .decimal } }
  var isNumeric: Bool { all { $0.properties.numericType != nil } }
  var isBlank: Bool { all(Text.isBlank) }
  var isAlphabetic: Bool { all(Text.isLetter) }
  var isAlphanumeric: Bool { all { Text.isLetter($0) || $0.properties.numericType != nil } }
  var isUpper: Bool {
    scalars.contains { $0.properties.isCased } && uppercased == self && !scalars.contains { $0.properties.isLowercase }
  }
  var isLower: Bool {
    scalars.contains { $0.properties.isCased }
      && !scalars.contains { $0.properties.isUppercase || $0.properties.generalCategory == .titlecaseLetter }
  }

  private static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: false
    }
  }
}

extension String {
  /// Without the blanks around it, as Python's `strip` takes them away.
  package func strippedAsPython() -> String { Text(self).stripped().string }
}
