/// A name with places: `model.layers.{i}.self_attn.{rest...}`.
///
/// Components are separated by "." or "/"; an HDF5 file's groups are a name's components. In a component `{i}` stands
/// for a whole number, `{_i}` for Keras's way to count siblings (nothing for the first, `_1` for the second), and
/// `{rest...}`, alone, for one or more components.
package struct NamePattern: Sendable, Equatable {
  enum Piece: Sendable, Equatable {
    case text(String)
    case number(String)
    case sibling(String)
  }
  enum Component: Sendable, Equatable {
    case pieces([Piece])
    case rest(String)
  }

  let components: [Component]
  package let text: String

  /// Nil when braces are not closed, or a place has no name.
  init?(_ text: String) {
    self.text = text
    var components: [Component] = []
    for component in Self.split(text) {
      if component.hasPrefix("{"), component.hasSuffix("...}") {
        let name = component.dropFirst().dropLast(4)
        guard !name.isEmpty, !name.contains("{") else { return nil }
        components.append(.rest(String(name)))
      } else {
        guard let pieces = Self.pieces(component) else { return nil }
        components.append(.pieces(pieces))
      }
    }
    guard !components.isEmpty else { return nil }
    self.components = components
  }

  /// Components of a name or pattern. The dots of `{rest...}` do not separate.
  private static func split(_ text: String) -> [String] {
    var components = [""]
    var depth = 0
    for character in text {
      if character == "{" { depth += 1 }
      if character == "}" { depth -= 1 }
      if depth == 0, character == "." || character == "/" {
        components.append("")
      } else {
        components[components.count - 1].append(character)
      }
    }
    return components
  }

  private static func pieces(_ component: String) -> [Piece]? {
    var pieces: [Piece] = []
    var rest = component[...]
    while let open = rest.firstIndex(of: "{") {
      guard let close = rest[open...].firstIndex(of: "}") else { return nil }
      if open > rest.startIndex { pieces.append(.text(String(rest[..<open]))) }
      let name = rest[rest.index(after: open)..<close]
      guard !name.isEmpty, name != "_" else { return nil }
      pieces.append(name.hasPrefix("_") ? .sibling(String(name.dropFirst())) : .number(String(name)))
      rest = rest[rest.index(after: close)...]
    }
    if rest.contains("}") { return nil }
    if !rest.isEmpty { pieces.append(.text(String(rest))) }
    return pieces
  }

  /// The names of its places.
  var places: Set<String> {
    Set(
      components.flatMap { component -> [String] in
        switch component {
        case .rest(let name): [name]
        case .pieces(let pieces):
          pieces.compactMap {
            switch $0 {
            case .text: nil
            case .number(let name), .sibling(let name): name
            }
          }
        }
      })
  }

  /// What stands in the places of a name; nil when the name does not match.
  func match(_ name: String) -> [String: String]? {
    var places: [String: String] = [:]
    return Self.match(components[...], Self.split(name)[...], &places) ? places : nil
  }

  private static func match(
    _ pattern: ArraySlice<Component>, _ name: ArraySlice<String>, _ places: inout [String: String]
  ) -> Bool {
    guard let first = pattern.first else { return name.isEmpty }
    switch first {
    case .pieces(let pieces):
      guard let component = name.first, match(pieces[...], component[...], &places) else { return false }
      return match(pattern.dropFirst(), name.dropFirst(), &places)
    case .rest(let place):
      // What follows takes as much as it needs.
      for taken in stride(from: 1, through: name.count - (pattern.count - 1), by: 1) {
        var trial = places
        if match(pattern.dropFirst(), name.dropFirst(taken), &trial) {
          trial[place] = name.prefix(taken).joined(separator: ".")
          places = trial
          return true
        }
      }
      return false
    }
  }

  private static func match(
    _ pieces: ArraySlice<Piece>, _ component: Substring, _ places: inout [String: String]
  ) -> Bool {
    guard let first = pieces.first else { return component.isEmpty }
    switch first {
    case .text(let text):
      return component.hasPrefix(text)
        && match(pieces.dropFirst(), component.dropFirst(text.count), &places)
    case .number(let name):
      let digits = component.prefix { $0.isASCII && $0.isNumber }
      guard isNumber(digits) else { return false }
      return set(name, String(digits), &places) && match(pieces.dropFirst(), component.dropFirst(digits.count), &places)
    case .sibling(let name):
      let digits = component.hasPrefix("_") ? component.dropFirst().prefix { $0.isASCII && $0.isNumber } : ""
      if isNumber(digits), digits != "0" {
        var trial = places
        if set(name, String(digits), &trial), match(pieces.dropFirst(), component.dropFirst(digits.count + 1), &trial) {
          places = trial
          return true
        }
      }
      return set(name, "0", &places) && match(pieces.dropFirst(), component, &places)
    }
  }

  /// Whole numbers are written in one way only.
  private static func isNumber(_ digits: Substring) -> Bool {
    !digits.isEmpty && (digits == "0" || !digits.hasPrefix("0")) && digits.count < 10
  }

  /// A place that occurs twice stands for the same.
  private static func set(_ name: String, _ value: String, _ places: inout [String: String]) -> Bool {
    if let earlier = places[name] { return earlier == value }
    places[name] = value
    return true
  }

  /// The name with its places filled in, components separated by dots; nil when one is missing.
  func name(_ places: [String: String]) -> String? {
    var components: [String] = []
    for component in self.components {
      switch component {
      case .rest(let place):
        guard let value = places[place] else { return nil }
        components.append(value)
      case .pieces(let pieces):
        var text = ""
        for piece in pieces {
          switch piece {
          case .text(let value): text += value
          case .number(let place):
            guard let value = places[place] else { return nil }
            text += value
          case .sibling(let place):
            guard let value = places[place] else { return nil }
            text += value == "0" ? "" : "_" + value
          }
        }
        components.append(text)
      }
    }
    return components.joined(separator: ".")
  }
}
