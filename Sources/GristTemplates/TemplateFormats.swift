/// `"…" % value`.
enum PercentFormat {
  static func text(_ format: Text, _ value: TemplateValue) throws -> Text {
    var arguments: [TemplateValue] = if case .tuple(let items) = value { items } else { [value] }
    var result: [Unicode.Scalar] = []
    var rest = format.scalars[...]
    while let scalar = rest.popFirst() {
      guard scalar == "%" else {
        result.append(scalar)
        continue
      }
      var spec = FormatSpecification()
      var named: TemplateValue?
      if rest.first == "(" {
        guard let end = rest.firstIndex(of: ")"), case .dictionary(let dictionary) = value else {
          throw TemplateError("format requires a mapping")
        }
        let name = Text(rest[rest.index(after: rest.startIndex)..<end])
        guard let member = dictionary.value(.string(name)) else { throw TemplateError("'\(name.string)'") }
        named = member
        rest = rest[rest.index(after: end)...]
      }
      while let flag = rest.first, "-+ #0".unicodeScalars.contains(flag) {
        switch flag {
        case "-": spec.alignment = "<"
        case "+": spec.sign = "+"
        case " ": if spec.sign == nil { spec.sign = " " }
        case "0": spec.fillsWithZeros = true
        default: spec.isAlternate = true
        }
        rest.removeFirst()
      }
      spec.width = spec.takeNumber(&rest)
      if rest.first == "." {
        rest.removeFirst()
        spec.precision = spec.takeNumber(&rest) ?? 0
      }
      guard spec.isSensible else { throw TemplateError("a width or precision that makes no sense") }
      guard let kind = rest.popFirst() else { throw TemplateError("incomplete format") }
      if kind == "%" {
        result.append("%")
        continue
      }
      guard let argument = named ?? (arguments.isEmpty ? nil : arguments.removeFirst()) else {
        throw TemplateError("not enough arguments for format string")
      }
      spec.kind = kind
      switch kind {
      case "s": result += spec.padded(spec.cut(argument.text), isNumber: false).scalars
      case "r", "a": result += spec.padded(spec.cut(Text(argument.representation)), isNumber: false).scalars
      case "d", "i", "u":
        guard let number = argument.asNumber else {
          throw TemplateError("%\(kind) format: a real number is required, not \(argument.typeName)")
        }
        spec.kind = "d"
        result += try spec.text(
          argument.asInteger.map { .integer($0) } ?? .integer(Int(exactly: number.rounded(.towardZero)) ?? 0)
        ).scalars
      case "f", "F", "e", "E", "g", "G", "x", "X", "o":
        guard argument.asNumber != nil else { throw TemplateError("must be real number, not \(argument.typeName)") }
        result += try spec.text("xXo".unicodeScalars.contains(kind) ? argument : .number(argument.asNumber ?? 0))
          .scalars
      default: throw TemplateError("unsupported format character '\(kind)'")
      }
    }
    guard arguments.isEmpty || value.isDictionary else {
      throw TemplateError("not all arguments converted during string formatting")
    }
    return Text(result)
  }
}

extension TemplateValue {
  fileprivate var isDictionary: Bool { if case .dictionary = self { true } else { false } }
}

/// `"…".format(…)`.
enum BraceFormat {
  static func text(_ format: Text, _ arguments: TemplateArguments) throws -> Text {
    var result: [Unicode.Scalar] = []
    var rest = format.scalars[...]
    var automatic = 0
    while let scalar = rest.popFirst() {
      if scalar == "{" || scalar == "}", rest.first == scalar {
        rest.removeFirst()
        result.append(scalar)
        continue
      }
      guard scalar != "}" else { throw TemplateError("Single '}' encountered in format string") }
      guard scalar == "{" else {
        result.append(scalar)
        continue
      }
      guard let end = rest.firstIndex(of: "}") else { throw TemplateError("expected '}' before end of string") }
      let field = Text(rest[..<end])
      rest = rest[rest.index(after: end)...]
      let parts = field.split(":", most: 1)
      let named = parts[0].split("!", most: 1)
      let name = named[0].string
      guard !name.contains("."), !name.contains("[") else {
        throw TemplateError("members in format strings are not reached for")
      }
      var value: TemplateValue?
      if let index = name.isEmpty ? automatic : Int(name) {
        automatic += 1
        value = index < arguments.positional.count ? arguments.positional[index] : nil
        guard value != nil else {
          throw TemplateError("Replacement index \(index) out of range for positional args tuple")
        }
      } else {
        value = arguments.named.first { $0.name == name }?.value
      }
      guard let value else { throw TemplateError("'\(name)'") }
      let shown: TemplateValue = named.count > 1 && named[1] == "r" ? .string(Text(value.representation)) : value
      result += try FormatSpecification(parts.count > 1 ? parts[1] : "").text(shown).scalars
    }
    return Text(result)
  }
}

/// Python's little language of formats: `[[fill]align][sign][#][0][width][,][.precision][kind]`.
struct FormatSpecification {
  var fill: Unicode.Scalar?
  var alignment: Unicode.Scalar?
  var sign: Unicode.Scalar?
  var isAlternate = false
  var fillsWithZeros = false
  var width: Int?
  var groups: Unicode.Scalar?
  var precision: Int?
  var kind: Unicode.Scalar?

  init() {}

  init(_ text: Text) throws {
    var rest = text.scalars[...]
    func isAlignment(_ scalar: Unicode.Scalar) -> Bool { "<>=^".unicodeScalars.contains(scalar) }
    if rest.count > 1, isAlignment(rest[rest.startIndex + 1]) {
      fill = rest.removeFirst()
      alignment = rest.removeFirst()
    } else if let first = rest.first, isAlignment(first) {
      alignment = rest.removeFirst()
    }
    if let first = rest.first, "+- ".unicodeScalars.contains(first) { sign = rest.removeFirst() }
    if rest.first == "#" {
      rest.removeFirst()
      isAlternate = true
    }
    if rest.first == "0" {
      rest.removeFirst()
      fillsWithZeros = true
    }
    width = takeNumber(&rest)
    if let first = rest.first, first == "," || first == "_" { groups = rest.removeFirst() }
    if rest.first == "." {
      rest.removeFirst()
      precision = takeNumber(&rest)
    }
    kind = rest.popFirst()
    guard rest.isEmpty, isSensible else { throw TemplateError("Invalid format specifier") }
  }

  var isSensible: Bool { width ?? 0 <= 100_000 && precision ?? 0 <= 1000 }

  func takeNumber(_ rest: inout ArraySlice<Unicode.Scalar>) -> Int? {
    var digits = ""
    while let scalar = rest.first, ("0"..."9").contains(scalar) {
      digits.unicodeScalars.append(scalar)
      rest.removeFirst()
    }
    return digits.isEmpty ? nil : Int(digits) ?? .max
  }

  func cut(_ text: Text) -> Text { precision.map { Text(text.scalars.prefix($0)) } ?? text }

  func padded(_ text: Text, isNumber: Bool) -> Text {
    let missing = (width ?? 0) - text.count
    guard missing > 0 else { return text }
    let zeros = fillsWithZeros && alignment == nil && isNumber
    let fills = Array(repeating: fill ?? (zeros ? "0" : " "), count: missing)
    switch zeros ? "=" : alignment ?? (isNumber ? ">" : kindIsPercent ? ">" : "<") {
    case "<": return Text(text.scalars + fills)
    case "^": return Text(fills.prefix(missing / 2) + text.scalars + fills.dropFirst(missing / 2))
    case "=":
      let sign = text.scalars.first == "-" || text.scalars.first == "+" || text.scalars.first == " " ? 1 : 0
      return Text(text.scalars.prefix(sign) + fills + text.scalars.dropFirst(sign))
    default: return Text(fills + text.scalars)
    }
  }

  /// Texts of `%` formats stand to the right.
  private var kindIsPercent: Bool { kind == "s" || kind == "r" || kind == "a" }

  func text(_ value: TemplateValue) throws -> Text {
    switch value {
    case .integer, .bool:
      guard let number = value.asInteger else { return value.text }
      if case .bool = value, kind == nil { return padded(cut(value.text), isNumber: false) }
      switch kind {
      case nil, "d", "n": return self.number(String(number.magnitude), isNegative: number < 0)
      case "x":
        return self.number((isAlternate ? "0x" : "") + String(number.magnitude, radix: 16), isNegative: number < 0)
      case "X":
        return self.number(
          (isAlternate ? "0X" : "") + String(number.magnitude, radix: 16, uppercase: true), isNegative: number < 0)
      case "o":
        return self.number((isAlternate ? "0o" : "") + String(number.magnitude, radix: 8), isNegative: number < 0)
      case "b":
        return self.number((isAlternate ? "0b" : "") + String(number.magnitude, radix: 2), isNegative: number < 0)
      case "c": return padded(Text(Unicode.Scalar(UInt32(clamping: number)).map { [$0] } ?? []), isNumber: false)
      default: return try real(Double(number))
      }
    case .number(let number): return try real(number)
    case .string(let text):
      guard kind == nil || kind == "s" else {
        throw TemplateError("Unknown format code '\(kind.map(String.init) ?? "")' for object of type 'str'")
      }
      var copy = self
      copy.kind = nil
      return copy.padded(cut(text), isNumber: false)
    case .undefined: return padded("", isNumber: false)
    default: return padded(cut(value.text), isNumber: false)
    }
  }

  private func number(_ digits: String, isNegative: Bool) -> Text {
    var whole = digits
    if let groups {
      let (integers, fraction) = (whole.prefix { $0 != "." }, whole.drop { $0 != "." })
      var grouped = ""
      for (index, digit) in integers.enumerated() {
        if index > 0, (integers.count - index) % 3 == 0 { grouped.unicodeScalars.append(groups) }
        grouped.append(digit)
      }
      whole = grouped + fraction
    }
    let mark = isNegative ? "-" : sign == "+" ? "+" : sign == " " ? " " : ""
    return padded(Text(mark + whole), isNumber: true)
  }

  private func real(_ value: Double) throws -> Text {
    let isNegative = value.sign == .minus && !value.isNaN
    let magnitude = abs(value)
    guard magnitude.isFinite else { return number(value.isNaN ? "nan" : "inf", isNegative: isNegative) }
    switch kind {
    case "f", "F": return number(NumberDigits.fixed(magnitude, precision ?? 6), isNegative: isNegative)
    case "e", "E":
      let text = NumberDigits.exponential(magnitude, precision ?? 6)
      return number(kind == "E" ? text.uppercased() : text, isNegative: isNegative)
    case "%": return number(NumberDigits.fixed(magnitude * 100, precision ?? 6) + "%", isNegative: isNegative)
    case nil where precision == nil: return number(magnitude.pythonText, isNegative: isNegative)
    case "g", "G", nil, "n":
      let text = NumberDigits.general(magnitude, max(precision ?? 6, 1), keepsPoint: kind == nil)
      return number(kind == "G" ? text.uppercased() : text, isNegative: isNegative)
    default: throw TemplateError("Unknown format code '\(kind.map(String.init) ?? "")' for object of type 'float'")
    }
  }
}
