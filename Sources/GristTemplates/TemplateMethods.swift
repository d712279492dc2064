extension TemplateRenderer {
  /// Names that the sandbox keeps from templates: they change what they were given.
  private static let forbidden: [String: Set<String>] = [
    "list": ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"],
    "dict": ["clear", "pop", "popitem", "setdefault", "update"],
  ]

  /// A method or attribute, as Python has it; nil where there is none.
  func attribute(of object: TemplateValue, _ name: String) throws -> TemplateValue? {
    if Self.forbidden[object.typeName]?.contains(name) == true || name.hasPrefix("__") {
      return .undefined("access to attribute '\(name)' of '\(object.typeName)' object is unsafe.")
    }
    func method(_ body: @escaping (TemplateArguments) throws -> TemplateValue) -> TemplateValue {
      .callable(TemplateCallable(name, body))
    }
    switch object {
    case .string(let text): return TextMethods.method(name, text, self).map(method)
    case .dictionary(let dictionary): return dictionaryMethod(name, dictionary).map(method)
    case .list(let items), .tuple(let items):
      switch name {
      case "index":
        return method { arguments in
          let wanted = try arguments.required(0, "value")
          guard let place = items.firstIndex(where: { $0.equals(wanted) }) else {
            throw TemplateError("\(wanted.representation) is not in list")
          }
          return .integer(place)
        }
      case "count":
        return method { arguments in
          let wanted = try arguments.required(0, "value")
          return .integer(items.count { $0.equals(wanted) })
        }
      case "copy": if case .list = object { return method { _ in object } } else { return nil }
      default: return nil
      }
    case .namespace(let namespace): return namespace.members[name]
    case .loop(let loop): return loopAttribute(name, loop)
    case .callable(let callable): return callable.attributes[name]
    case .integer(let value):
      switch name {
      case "real", "numerator": return .integer(value)
      case "imag": return .integer(0)
      case "denominator": return .integer(1)
      case "bit_length": return method { _ in .integer(Int.bitWidth - value.magnitude.leadingZeroBitCount) }
      default: return nil
      }
    case .number(let value):
      switch name {
      case "is_integer": return method { _ in .bool(value == value.rounded()) }
      default: return nil
      }
    default: return nil
    }
  }

  private func dictionaryMethod(
    _ name: String, _ dictionary: TemplateDictionary
  ) -> ((TemplateArguments) throws -> TemplateValue)? {
    switch name {
    case "items": return { _ in .list(zip(dictionary.keys, dictionary.values).map { .tuple([$0, $1]) }) }
    case "keys": return { _ in .list(dictionary.keys) }
    case "values": return { _ in .list(dictionary.values) }
    case "copy": return { _ in .dictionary(dictionary) }
    case "get":
      return { arguments in
        let wanted = try arguments.required(0, "key")
        guard let key = wanted.key else { throw TemplateError("unhashable type: '\(wanted.typeName)'") }
        return dictionary.value(key) ?? arguments.value(1, "default") ?? TemplateValue.none
      }
    default: return nil
    }
  }

  private func loopAttribute(_ name: String, _ loop: TemplateLoop) -> TemplateValue? {
    let count = loop.items.count
    switch name {
    case "index": return .integer(loop.index + 1)
    case "index0": return .integer(loop.index)
    case "revindex": return .integer(count - loop.index)
    case "revindex0": return .integer(count - loop.index - 1)
    case "first": return .bool(loop.index == 0)
    case "last": return .bool(loop.index == count - 1)
    case "length": return .integer(count)
    case "depth": return .integer(loop.depth + 1)
    case "depth0": return .integer(loop.depth)
    case "previtem": return loop.index > 0 ? loop.items[loop.index - 1] : .undefined("there is no previous item")
    case "nextitem": return loop.index + 1 < count ? loop.items[loop.index + 1] : .undefined("there is no next item")
    case "cycle":
      return .callable(
        TemplateCallable(name) { arguments in
          guard !arguments.positional.isEmpty else { throw TemplateError("no items for cycling given") }
          return arguments.positional[loop.index % arguments.positional.count]
        })
    case "changed":
      return .callable(
        TemplateCallable(name) { arguments in
          defer { loop.lastChanged = arguments.positional }
          guard let last = loop.lastChanged, last.count == arguments.positional.count else { return .bool(true) }
          return .bool(!zip(last, arguments.positional).allSatisfy { $0.equals($1) })
        })
    default: return nil
    }
  }
}

extension TemplateArguments {
  func required(_ place: Int, _ name: String) throws -> TemplateValue {
    guard let value = value(place, name) else { throw TemplateError("missing argument: '\(name)'") }
    return value
  }

  /// A string; nil where there is none, or None.
  func text(_ place: Int, _ name: String) throws -> Text? {
    switch value(place, name) {
    case nil, .some(.none): return nil
    case .some(.string(let text)): return text
    case .some(.undefined(let what)): throw TemplateError(what)
    case .some(let value): throw TemplateError("must be str, not \(value.typeName)")
    }
  }

  /// A whole number; nil where there is none.
  func integer(_ place: Int, _ name: String) throws -> Int? {
    switch value(place, name) {
    case nil, .some(.none): return nil
    case .some(.undefined(let what)): throw TemplateError(what)
    case .some(let value):
      guard let number = value.asInteger else {
        throw TemplateError("'\(value.typeName)' object cannot be interpreted as an integer")
      }
      return number
    }
  }
}

/// Methods of `str`.
enum TextMethods {
  static func method(
    _ name: String, _ text: Text, _ renderer: TemplateRenderer
  ) -> ((TemplateArguments) throws -> TemplateValue)? {
    func simple(_ value: @escaping () -> TemplateValue) -> (TemplateArguments) throws -> TemplateValue {
      { _ in
        try renderer.spend(text.count)
        return value()
      }
    }
    func texts(_ parts: [Text]) -> TemplateValue { .list(parts.map { .string($0) }) }
    switch name {
    case "upper": return simple { .string(text.uppercased) }
    case "lower", "casefold": return simple { .string(text.lowercased) }
    case "title": return simple { .string(text.titled) }
    case "capitalize": return simple { .string(text.capitalized) }
    case "swapcase":
      return simple {
        .string(
          Text(
            text.scalars.flatMap {
              ($0.properties.isUppercase ? $0.properties.lowercaseMapping : $0.properties.uppercaseMapping)
                .unicodeScalars
            }))
      }
    case "isdigit": return simple { .bool(text.isDigits) }
    case "isdecimal": return simple { .bool(text.isDecimal) }
    case "isnumeric": return simple { .bool(text.isNumeric) }
    case "isalpha": return simple { .bool(text.isAlphabetic) }
    case "isalnum": return simple { .bool(text.isAlphanumeric) }
    case "isspace": return simple { .bool(text.isBlank) }
    case "isupper": return simple { .bool(text.isUpper) }
    case "islower": return simple { .bool(text.isLower) }
    case "strip": return { .string(text.stripped(try $0.text(0, "chars"))) }
    case "lstrip": return { .string(text.stripped(try $0.text(0, "chars"), right: false)) }
    case "rstrip": return { .string(text.stripped(try $0.text(0, "chars"), left: false)) }
    case "split", "rsplit":
      return { arguments in
        let separator = try arguments.text(0, "sep")
        guard separator?.isEmpty != true else { throw TemplateError("empty separator") }
        let most = try arguments.integer(1, "maxsplit") ?? -1
        try renderer.spend(text.count)
        return texts(name == "split" ? text.split(separator, most: most) : text.splitFromEnd(separator, most: most))
      }
    case "splitlines":
      return { arguments in texts(text.lines(keepingEnds: arguments.value(0, "keepends")?.isTrue ?? false)) }
    case "startswith", "endswith":
      return { arguments in
        let wanted = try arguments.required(0, "prefix")
        let choices: [TemplateValue] = if case .tuple(let items) = wanted { items } else { [wanted] }
        let start = try clamped(arguments.integer(1, "start"), text.count) ?? 0
        let end = try clamped(arguments.integer(2, "end"), text.count) ?? text.count
        guard start <= end else { return .bool(false) }
        let part = text.scalars[start..<end]
        return .bool(
          try choices.contains { choice in
            guard case .string(let affix) = choice else {
              throw TemplateError("\(name) first arg must be str or a tuple of str, not \(choice.typeName)")
            }
            return name == "startswith"
              ? part.starts(with: affix.scalars) : part.reversed().starts(with: affix.scalars.reversed())
          })
      }
    case "removeprefix":
      return { arguments in
        let affix = try arguments.text(0, "prefix") ?? ""
        return .string(text.scalars.starts(with: affix.scalars) ? Text(text.scalars.dropFirst(affix.count)) : text)
      }
    case "removesuffix":
      return { arguments in
        let affix = try arguments.text(0, "suffix") ?? ""
        let has = !affix.isEmpty && text.scalars.reversed().starts(with: affix.scalars.reversed())
        return .string(has ? Text(text.scalars.dropLast(affix.count)) : text)
      }
    case "replace":
      return { arguments in
        guard let old = try arguments.text(0, "old"), let new = try arguments.text(1, "new") else {
          throw TemplateError("replace() takes two strings")
        }
        try renderer.spend(text.count + (text.occurrences(of: old) + 1) * new.count)
        return .string(text.replacing(old, with: new, most: try arguments.integer(2, "count") ?? -1))
      }
    case "find", "index", "rfind", "rindex":
      return { arguments in
        guard let part = try arguments.text(0, "sub") else { throw TemplateError("must be str, not NoneType") }
        let start = try clamped(arguments.integer(1, "start"), text.count) ?? 0
        let end = try clamped(arguments.integer(2, "end"), text.count) ?? text.count
        let within = start <= end ? Text(text.scalars[start..<end]) : Text("")
        let isLast = name.hasPrefix("r")
        if start <= end, let place = isLast ? within.lastIndex(of: part) : within.index(of: part) {
          return .integer(start + place)
        }
        guard name.hasSuffix("find") else { throw TemplateError("substring not found") }
        return .integer(-1)
      }
    case "count": return { .integer(text.occurrences(of: try $0.text(0, "sub") ?? "")) }
    case "join":
      return { arguments in
        let value = try arguments.required(0, "iterable")
        guard let items = value.items else { throw TemplateError("can only join an iterable") }
        return .string(try joined(items, separator: text, renderer, converts: false))
      }
    case "partition", "rpartition":
      return { arguments in
        guard let separator = try arguments.text(0, "sep"), !separator.isEmpty else {
          throw TemplateError("empty separator")
        }
        let isLast = name == "rpartition"
        guard let place = isLast ? text.lastIndex(of: separator) : text.index(of: separator) else {
          return .tuple((isLast ? ["", "", text] : [text, "", ""]).map { .string($0) })
        }
        return .tuple([
          .string(Text(text.scalars[..<place])), .string(separator),
          .string(Text(text.scalars[(place + separator.count)...])),
        ])
      }
    case "zfill", "ljust", "rjust", "center":
      return { arguments in
        let width = try arguments.integer(0, "width") ?? 0
        let fill = try arguments.text(1, "fillchar")?.scalars.first ?? (name == "zfill" ? "0" : " ")
        return .string(try padded(text, width, fill, name, renderer))
      }
    case "expandtabs": return { _ in .string(text.replacing("\t", with: "        ")) }
    case "format": return { .string(try renderer.spending(BraceFormat.text(text, $0))) }
    default: return nil
    }
  }

  /// A bound of a range of characters, as Python takes it.
  private static func clamped(_ value: Int?, _ count: Int) -> Int? {
    value.map { $0 < 0 ? max(0, $0.addingReportingOverflow(count).partialValue) : min($0, count + 1) }
      .map { min($0, count) }
  }

  static func padded(
    _ text: Text, _ width: Int, _ fill: Unicode.Scalar, _ name: String, _ renderer: TemplateRenderer
  ) throws -> Text {
    guard width > text.count else { return text }
    let missing = width - text.count
    try renderer.spend(missing)
    func fills(_ count: Int) -> [Unicode.Scalar] { Array(repeating: fill, count: count) }
    switch name {
    case "ljust": return Text(text.scalars + fills(missing))
    case "rjust": return Text(fills(missing) + text.scalars)
    case "zfill":
      let sign = text.scalars.first == "-" || text.scalars.first == "+" ? 1 : 0
      return Text(text.scalars.prefix(sign) + fills(missing) + text.scalars.dropFirst(sign))
    default:
      // Python's rule for an odd rest.
      let left = missing / 2 + (missing & width & 1)
      return Text(fills(left) + text.scalars + fills(missing - left))
    }
  }

  static func joined(
    _ items: [TemplateValue], separator: Text, _ renderer: TemplateRenderer, converts: Bool
  ) throws -> Text {
    var result: [Unicode.Scalar] = []
    for (index, item) in items.enumerated() {
      if index > 0 { result += separator.scalars }
      if case .string(let text) = item {
        result += text.scalars
      } else {
        guard converts else {
          throw TemplateError("sequence item \(index): expected str instance, \(item.typeName) found")
        }
        result += item.text.scalars
      }
      try renderer.spend(1 + separator.count)
    }
    try renderer.spend(result.count)
    return Text(result)
  }
}
