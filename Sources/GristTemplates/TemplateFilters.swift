extension TemplateRenderer {
  /// `value|name(arguments)`.
  func filtered(_ name: String, _ value: TemplateValue, _ arguments: TemplateArguments) throws -> TemplateValue {
    if case .string(let text) = value { try spend(text.count) } else { try spend(value.items?.count ?? 0) }
    if let result = try textFilter(name, value, arguments) { return result }
    if let result = try listFilter(name, value, arguments) { return result }
    if let result = try numberFilter(name, value, arguments) { return result }
    throw TemplateError("No filter named '\(name)'.")
  }

  /// The items of what a filter goes through.
  private func items(_ value: TemplateValue) throws -> [TemplateValue] {
    guard let items = value.items else { throw TemplateError("'\(value.typeName)' object is not iterable") }
    return items
  }

  /// The items of what `map`, `select` and their kin go through: they ask first whether there is anything.
  private func itemsIfTrue(_ value: TemplateValue) throws -> [TemplateValue] { value.isTrue ? try items(value) : [] }

  // MARK: texts

  private func textFilter(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws -> TemplateValue? {
    switch name {
    case "upper": return .string(value.text.uppercased)
    case "lower": return .string(value.text.lowercased)
    case "capitalize": return .string(value.text.capitalized)
    case "title": return .string(Self.titled(value.text))
    case "trim": return .string(value.text.stripped(try arguments.text(0, "chars")))
    case "string": return .string(value.text)
    case "safe": return .string(value.text)
    case "escape", "e", "forceescape": return .string(Self.escaped(value.text))
    case "replace":
      guard let old = arguments.value(0, "old"), let new = arguments.value(1, "new") else {
        throw TemplateError("replace wants an old and a new text")
      }
      let text = value.text
      try spend((text.occurrences(of: old.text) + 1) * new.text.count)
      return .string(text.replacing(old.text, with: new.text, most: try arguments.integer(2, "count") ?? -1))
    case "indent":
      let width = arguments.value(0, "width") ?? .integer(4)
      let indent: Text
      if case .string(let text) = width {
        indent = text
      } else {
        let count = width.asInteger ?? 4
        try spend(count)
        indent = Text(Array(repeating: " ", count: max(0, count)))
      }
      let first = arguments.value(1, "first")?.isTrue ?? false
      let blank = arguments.value(2, "blank")?.isTrue ?? false
      guard case .string(let text) = value else {
        throw TemplateError("indent wants a text, not a '\(value.typeName)'")
      }
      return .string(try indented(text, indent, first: first, blank: blank))
    case "wordcount": return .integer(value.text.words)
    case "center":
      return .string(try TextMethods.padded(value.text, try arguments.integer(0, "width") ?? 80, " ", "center", self))
    case "truncate": return try truncated(value, arguments)
    case "format":
      guard case .string(let format) = value else { throw TemplateError("format wants a text") }
      guard arguments.positional.isEmpty || arguments.named.isEmpty else {
        throw TemplateError("can't handle positional and keyword arguments at the same time")
      }
      var names = TemplateDictionary()
      for (name, value) in arguments.named { names.set(name, value) }
      return .string(
        try spending(PercentFormat.text(format, names.count > 0 ? .dictionary(names) : .tuple(arguments.positional))))
    case "striptags":
      let text = value.text.string.replacing(/<[^>]*>/, with: "")
      return .string(Text(Array(Text(text).split(nil).map(\.scalars).joined(separator: [" "]))))
    case "urlencode":
      switch value {
      case .dictionary, .list, .tuple:
        throw TemplateError("urlencode is known for texts only, not for a '\(value.typeName)'")
      default: return .string(Self.urlEncoded(value.text))
      }
    case "tojson": return .string(Text(try json(value, arguments)))
    default: return nil
    }
  }

  /// Jinja's own `title`: words begin behind blanks, dashes and opening brackets.
  private static func titled(_ text: Text) -> Text {
    var result: [Unicode.Scalar] = []
    var startsWord = true
    for scalar in text.scalars {
      let change = startsWord ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
      result += change.unicodeScalars
      startsWord = Text.isBlank(scalar) || "-({[<".unicodeScalars.contains(scalar)
    }
    return Text(result)
  }

  private static func escaped(_ text: Text) -> Text {
    Text(
      text.scalars.flatMap { scalar -> [Unicode.Scalar] in
        switch scalar {
        case "&": Array("&amp;".unicodeScalars)
        case "<": Array("&lt;".unicodeScalars)
        case ">": Array("&gt;".unicodeScalars)
        case "'": Array("&#39;".unicodeScalars)
        case "\"": Array("&#34;".unicodeScalars)
        default: [scalar]
        }
      })
  }

  private static func urlEncoded(_ text: Text) -> Text {
    var result = ""
    for byte in text.string.utf8 {
      let scalar = Unicode.Scalar(byte)
      if byte < 0x80,
        scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || "_.-~/".unicodeScalars.contains(scalar)
      {
        result.unicodeScalars.append(scalar)
      } else {
        result += "%" + scalar.digits(2).uppercased()
      }
    }
    return Text(result)
  }

  private func indented(_ text: Text, _ indent: Text, first: Bool, blank: Bool) throws -> Text {
    // A line end is put behind the text, as Jinja does, so that one at its end counts.
    let lines = (text + "\n").lines()
    try spend(lines.count * (indent.count + 1))
    guard let head = lines.first else { return text }
    let rest = lines.dropFirst().map { line in blank || !line.isEmpty ? indent + line : line }
    let joined = Text(Array(([head] + rest).map(\.scalars).joined(separator: ["\n"])))
    return first ? indent + joined : joined
  }

  private func truncated(_ value: TemplateValue, _ arguments: TemplateArguments) throws -> TemplateValue {
    let text = value.text
    let length = try arguments.integer(0, "length") ?? 255
    let end = try arguments.text(2, "end") ?? "..."
    let leeway = try arguments.integer(3, "leeway") ?? 5
    guard length >= end.count, length < 1 << 40, abs(leeway) < 1 << 40 else {
      throw TemplateError("a length that makes no sense")
    }
    guard try count(of: value) > length + leeway else { return value }
    let cut = Text(text.scalars.prefix(length - end.count))
    guard arguments.value(1, "killwords")?.isTrue != true, let blank = cut.lastIndex(of: " ") else {
      return .string(cut + end)
    }
    return .string(Text(cut.scalars[..<blank]) + end)
  }

  private func json(_ value: TemplateValue, _ arguments: TemplateArguments) throws -> String {
    var writer = PythonJSON(itemSeparator: ", ", keySeparator: ": ")
    writer.escapesNonASCII = arguments.value(0, "ensure_ascii")?.isTrue ?? false
    switch arguments.value(1, "indent") {
    case nil, .some(.none): break
    case .some(.string(let text)):
      writer.indent = text.string
      writer.itemSeparator = ","
    case .some(let width):
      let count = width.asInteger ?? 0
      guard count < 1000 else { throw TemplateError("an indent that makes no sense") }
      writer.indent = String(repeating: " ", count: max(0, count))
      writer.itemSeparator = ","
    }
    if let separators = arguments.value(2, "separators")?.items {
      guard separators.count == 2 else { throw TemplateError("separators must be two") }
      (writer.itemSeparator, writer.keySeparator) = (separators[0].text.string, separators[1].text.string)
    }
    writer.sortsKeys = arguments.value(3, "sort_keys")?.isTrue ?? false
    let text = try writer.text(value)
    try spend(text.utf8.count)
    return text
  }

  // MARK: numbers

  private func numberFilter(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws -> TemplateValue? {
    switch name {
    case "abs":
      switch value {
      case .number(let number): return .number(abs(number))
      default:
        guard let number = value.asInteger, number != .min else {
          throw TemplateError("bad operand type for abs(): '\(value.typeName)'")
        }
        return .integer(abs(number))
      }
    case "int", "float":
      if value.isUndefined { throw TemplateError(undefinedMessage(value)) }
      return name == "int" ? try integer(value, arguments) : real(value, arguments)
    case "round":
      guard let number = value.asNumber else {
        throw TemplateError("type \(value.typeName) doesn't define __round__ method")
      }
      let precision = try arguments.integer(0, "precision") ?? 0
      guard (-300...300).contains(precision) else { throw TemplateError("a precision that makes no sense") }
      let method = try arguments.text(1, "method")?.string ?? "common"
      if method == "common", let integer = value.asInteger, precision >= 0 { return .integer(integer) }
      let factor = power(10, Double(precision))
      switch method {
      case "common": return .number(NumberDigits.rounded(number, precision))
      case "ceil": return .number((number * factor).rounded(.up) / factor)
      case "floor": return .number((number * factor).rounded(.down) / factor)
      default: throw TemplateError("method must be common, ceil or floor")
      }
    default: return nil
    }
  }

  private func integer(_ value: TemplateValue, _ arguments: TemplateArguments) throws -> TemplateValue {
    let fallback = arguments.value(0, "default") ?? .integer(0)
    switch value {
    case .number(let number): return Int(exactly: number.rounded(.towardZero)).map { .integer($0) } ?? fallback
    case .string(let text):
      let digits = text.stripped().string.replacing("_", with: "")
      let radix = try arguments.integer(1, "base") ?? 10
      if (2...36).contains(radix), let number = Int(digits, radix: radix) { return .integer(number) }
      return Double(digits).flatMap { Int(exactly: $0.rounded(.towardZero)) }.map { .integer($0) } ?? fallback
    default: return value.asInteger.map { .integer($0) } ?? fallback
    }
  }

  private func real(_ value: TemplateValue, _ arguments: TemplateArguments) -> TemplateValue {
    let fallback = arguments.value(0, "default") ?? .number(0)
    if case .string(let text) = value { return Double(text.stripped().string).map { .number($0) } ?? fallback }
    return value.asNumber.map { .number($0) } ?? fallback
  }

  private func undefinedMessage(_ value: TemplateValue) -> String {
    if case .undefined(let what) = value { what } else { "undefined" }
  }

  // MARK: lists

  private func count(of value: TemplateValue) throws -> Int {
    switch value {
    case .string(let text): return text.count
    case .integer, .number, .bool, .none, .callable, .namespace:
      throw TemplateError("object of type '\(value.typeName)' has no len()")
    default: return try items(value).count
    }
  }

  /// What a name reaches in a value: `a.b.0`.
  private func reach(_ value: TemplateValue, _ path: TemplateValue) throws -> TemplateValue {
    if let index = path.asInteger { return try item(of: value, .integer(index)) }
    return try path.text.split(".").reduce(value) { value, part in
      if let index = Int(part.string) { return try item(of: value, .integer(index)) }
      return try item(of: value, .string(part))
    }
  }

  private func sorted(
    _ items: [TemplateValue], reversed: Bool, isKeyed: Bool = false, _ key: (TemplateValue) throws -> TemplateValue
  ) throws -> [TemplateValue] {
    var keyed = try items.map { (try key($0), $0) }
    try spend(items.count * 10)
    var failure: TemplateError?
    // Stable, also where the order is turned round. What is the same needs no order.
    func less(_ a: TemplateValue, _ b: TemplateValue) -> Bool {
      if isKeyed, a.equals(b) { return false }
      guard let isLess = a.isLess(than: b) else {
        failure = failure ?? TemplateError("'<' not supported between instances of '\(a.typeName)' and '\(b.typeName)'")
        return false
      }
      return isLess
    }
    keyed = Self.stablySorted(keyed) { reversed ? less($1.0, $0.0) : less($0.0, $1.0) }
    if let failure { throw failure }
    return keyed.map(\.1)
  }

  private static func stablySorted<Item>(_ items: [Item], _ less: (Item, Item) -> Bool) -> [Item] {
    items.enumerated().sorted { a, b in
      less(a.element, b.element) || !less(b.element, a.element) && a.offset < b.offset
    }.map(\.element)
  }

  private func folded(_ value: TemplateValue, caseSensitive: Bool) -> TemplateValue {
    if case .string(let text) = value, !caseSensitive { return .string(text.lowercased) }
    return value
  }

  private func listFilter(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws -> TemplateValue? {
    func isTrue(_ place: Int, _ name: String) -> Bool { arguments.value(place, name)?.isTrue ?? false }
    switch name {
    case "default", "d":
      let fallback = arguments.value(0, "default_value") ?? TemplateValue("")
      return value.isUndefined || isTrue(1, "boolean") && !value.isTrue ? fallback : value
    case "length", "count": return .integer(try count(of: value))
    case "first": return try items(value).first ?? .undefined("No first item, sequence was empty.")
    case "last": return try items(value).last ?? .undefined("No last item, sequence was empty.")
    case "list": return .list(try items(value))
    case "items":
      if value.isUndefined { return .list([]) }
      guard case .dictionary(let dictionary) = value else {
        throw TemplateError("Can only get item pairs from a mapping.")
      }
      return .list(zip(dictionary.keys, dictionary.values).map { .tuple([$0, $1]) })
    case "reverse":
      if case .string(let text) = value { return .string(Text(text.scalars.reversed())) }
      return .list(try items(value).reversed())
    case "join":
      var items = try items(value)
      if let attribute = arguments.value(1, "attribute") { items = try items.map { try reach($0, attribute) } }
      return .string(
        try TextMethods.joined(items, separator: arguments.value(0, "d")?.text ?? "", self, converts: true))
    case "sort":
      let attribute = arguments.value(2, "attribute")
      let caseSensitive = isTrue(1, "case_sensitive")
      return .list(
        try sorted(try items(value), reversed: isTrue(0, "reverse"), isKeyed: attribute != nil) { item in
          folded(try attribute.map { try reach(item, $0) } ?? item, caseSensitive: caseSensitive)
        })
    case "dictsort":
      guard case .dictionary(let dictionary) = value else { throw TemplateError("dictsort wants a mapping") }
      let caseSensitive = isTrue(0, "case_sensitive")
      let by = try arguments.text(1, "by")?.string ?? "key"
      let pairs = zip(dictionary.keys, dictionary.values).map { TemplateValue.tuple([$0, $1]) }
      return .list(
        try sorted(pairs, reversed: isTrue(2, "reverse")) { pair in
          folded(pair.items?[by == "value" ? 1 : 0] ?? .none, caseSensitive: caseSensitive)
        })
    case "unique":
      let attribute = arguments.value(1, "attribute")
      var seen: Set<TemplateKey> = []
      return .list(
        try items(value).filter { item in
          let key = folded(
            try attribute.map { try reach(item, $0) } ?? item, caseSensitive: isTrue(0, "case_sensitive"))
          guard let hashed = key.key else { throw TemplateError("unhashable type: '\(key.typeName)'") }
          return seen.insert(hashed).inserted
        })
    case "min", "max":
      let attribute = arguments.value(1, "attribute")
      let ordered = try sorted(try items(value), reversed: name == "max") { item in
        folded(try attribute.map { try reach(item, $0) } ?? item, caseSensitive: isTrue(0, "case_sensitive"))
      }
      return ordered.first ?? .undefined("No aggregated item, sequence was empty.")
    case "sum":
      let attribute = arguments.value(0, "attribute")
      return try items(value).reduce(arguments.value(1, "start") ?? .integer(0)) { sum, item in
        try arithmetic("+", sum, try attribute.map { try reach(item, $0) } ?? item)
      }
    case "batch", "slice": return .list(try cut(try items(value), name, arguments))
    case "groupby":
      let attribute = try arguments.required(0, "attribute")
      let fallback = arguments.value(1, "default")
      let caseSensitive = isTrue(2, "case_sensitive")
      func key(_ item: TemplateValue) throws -> TemplateValue {
        let found = try reach(item, attribute)
        return found.isUndefined ? fallback ?? found : found
      }
      var groups: [(key: TemplateValue, folded: TemplateValue, items: [TemplateValue])] = []
      for item in try sorted(try items(value), reversed: false, { folded(try key($0), caseSensitive: caseSensitive) }) {
        let key = try key(item)
        let folded = folded(key, caseSensitive: caseSensitive)
        if let last = groups.indices.last, groups[last].folded.equals(folded) {
          groups[last].items.append(item)
        } else {
          groups.append((key, folded, [item]))
        }
      }
      return .list(groups.map { .tuple([$0.key, .list($0.items)]) })
    case "attr":
      guard let wanted = try arguments.text(0, "name") else { throw TemplateError("attr wants a name") }
      if value.isUndefined { throw TemplateError(undefinedMessage(value)) }
      return try attribute(of: value, wanted.string)
        ?? .undefined("'\(value.typeName) object' has no attribute '\(wanted.string)'")
    case "map":
      if let attribute = arguments.named.first(where: { $0.name == "attribute" })?.value {
        let fallback = arguments.named.first { $0.name == "default" }?.value
        return .list(
          try itemsIfTrue(value).map { item in
            let found = try reach(item, attribute)
            return found.isUndefined ? fallback ?? found : found
          })
      }
      guard let filter = try arguments.text(0, "filter") else { throw TemplateError("map requires a filter argument") }
      var rest = arguments
      rest.positional.removeFirst()
      return .list(try itemsIfTrue(value).map { try filtered(filter.string, $0, rest) })
    case "select", "reject", "selectattr", "rejectattr":
      var rest = arguments
      var path: TemplateValue?
      if name.hasSuffix("attr") {
        path = try arguments.required(0, "attribute")
        rest.positional.removeFirst()
      }
      let wanted = rest.positional.isEmpty ? nil : rest.positional.removeFirst().text.string
      return .list(
        try itemsIfTrue(value).filter { item in
          let subject = try path.map { try reach(item, $0) } ?? item
          let holds = try wanted.map { try test($0, subject, rest) } ?? subject.isTrue
          return holds == name.hasPrefix("select")
        })
    default: return nil
    }
  }

  private func cut(_ items: [TemplateValue], _ name: String, _ arguments: TemplateArguments) throws -> [TemplateValue] {
    let count = try arguments.integer(0, "linecount") ?? arguments.integer(0, "slices") ?? 1
    guard count > 0 else { throw TemplateError("\(name) wants a positive number") }
    let fill = arguments.value(1, "fill_with")
    let hasFill = fill.map { if case .none = $0 { false } else { true } } ?? false
    if name == "batch" {
      return stride(from: 0, to: items.count, by: count).map { start in
        var part = Array(items[start..<min(start + count, items.count)])
        if hasFill, let fill, part.count < count { part += Array(repeating: fill, count: count - part.count) }
        return .list(part)
      }
    }
    try spend(count)
    let (length, longer) = items.count.quotientAndRemainder(dividingBy: count)
    var offset = 0
    return (0..<count).map { index in
      let start = offset + index * length
      if index < longer { offset += 1 }
      var part = Array(items[start..<min(offset + (index + 1) * length, items.count)])
      if hasFill, let fill, index >= longer { part.append(fill) }
      return .list(part)
    }
  }
}

extension Text {
  /// Runs of letters, digits and underscores.
  fileprivate var words: Int {
    var (count, isInside) = (0, false)
    for scalar in scalars {
      let belongs = scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
      if belongs, !isInside { count += 1 }
      isInside = belongs
    }
    return count
  }
}
