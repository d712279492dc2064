import GristCore

extension TemplateValue {
  /// `str()`.
  var text: Text {
    switch self {
    case .undefined: ""
    case .string(let text): text
    default: Text(representation)
    }
  }

  /// `repr()`.
  var representation: String {
    switch self {
    case .undefined: "Undefined"
    case .none: "None"
    case .bool(let value): value ? "True" : "False"
    case .integer(let value): String(value)
    case .number(let value): value.pythonText
    case .string(let text): text.representation
    case .list(let items): "[" + items.map(\.representation).joined(separator: ", ") + "]"
    case .tuple(let items):
      "(" + items.map(\.representation).joined(separator: ", ") + (items.count == 1 ? ",)" : ")")
    case .dictionary(let dictionary):
      "{"
        + zip(dictionary.keys, dictionary.values).map { "\($0.representation): \($1.representation)" }.joined(
          separator: ", ")
        + "}"
    case .namespace(let namespace): "<Namespace \(TemplateValue.dictionary(namespace.members).representation)>"
    case .callable(let callable): "<function \(callable.name)>"
    case .loop(let loop): "<LoopContext \(loop.index + 1)/\(loop.items.count)>"
    }
  }
}

extension Text {
  /// `repr` of a string: in single quotes unless it holds some and no double ones.
  var representation: String {
    let quote: Unicode.Scalar = contains("'") && !contains("\"") ? "\"" : "'"
    var result = String(quote)
    for scalar in scalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case quote: result += "\\" + String(quote)
      default:
        if scalar.isPrintable {
          result.unicodeScalars.append(scalar)
        } else if scalar.value < 0x100 {
          result += "\\x" + scalar.digits(2)
        } else {
          result += scalar.value < 0x10000 ? "\\u" + scalar.digits(4) : "\\U" + scalar.digits(8)
        }
      }
    }
    return result + String(quote)
  }
}

extension Unicode.Scalar {
  /// `str.isprintable` of one character.
  fileprivate var isPrintable: Bool {
    if value == 0x20 { return true }
    switch properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator, .spaceSeparator:
      return false
    default: return true
    }
  }

  /// At least so many hexadecimal digits.
  func digits(_ count: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, count - digits.count)) + digits
  }
}

extension Double {
  /// `repr` of a float: the shortest digits that read back, with an exponent from 1e16 on and below 1e-4.
  var pythonText: String {
    if isNaN { return "nan" }
    if isInfinite { return self < 0 ? "-inf" : "inf" }
    let magnitude = abs(self)
    var digits = magnitude.description
    // Swift's description has the same digits; where it puts an exponent is its own.
    var exponent = 0
    if let mark = digits.firstIndex(of: "e") {
      exponent = Int(digits[digits.index(after: mark)...]) ?? 0
      digits = String(digits[..<mark])
    }
    let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
    let whole = String(parts[0])
    let fraction = parts.count > 1 && parts[1] != "0" ? String(parts[1]) : ""
    var all = Array((whole + fraction).utf8)
    var point = whole.utf8.count + exponent
    while all.count > 1, all.first == UInt8(ascii: "0") {
      all.removeFirst()
      point -= 1
    }
    while all.count > 1, all.last == UInt8(ascii: "0") { all.removeLast() }
    let sign = self.sign == .minus ? "-" : ""
    func text(_ bytes: some Sequence<UInt8>) -> String { String(decoding: Array(bytes), as: UTF8.self) }
    if magnitude == 0 { return sign + "0.0" }
    if point > 16 || point < -3 {
      let shown = point - 1
      let rest = all.count > 1 ? "." + text(all.dropFirst()) : ""
      return sign + text(all.prefix(1)) + rest + "e" + (shown < 0 ? "-" : "+") + (abs(shown) < 10 ? "0" : "")
        + String(abs(shown))
    }
    if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + text(all) }
    if all.count <= point { return sign + text(all) + String(repeating: "0", count: point - all.count) + ".0" }
    return sign + text(all.prefix(point)) + "." + text(all.dropFirst(point))
  }
}

/// `json.dumps` as transformers' `tojson` calls it.
struct PythonJSON {
  var escapesNonASCII = false
  /// What an inner line begins with, for each level; nil writes one line.
  var indent: String?
  var itemSeparator: String
  var keySeparator: String
  var sortsKeys = false

  func text(_ value: TemplateValue, level: Int = 0) throws -> String {
    switch value {
    case .none: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .integer(let value): return String(value)
    case .number(let value):
      return value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : value.pythonText
    case .string(let text): return quoted(text)
    case .list(let items), .tuple(let items):
      return try wrapped("[", "]", items.map { try text($0, level: level + 1) }, level)
    case .dictionary(let dictionary):
      var members = try zip(dictionary.keys, dictionary.values).map { key, value in
        (try name(key), value)
      }
      if sortsKeys { members.sort { $0.0 < $1.0 } }
      return try wrapped(
        "{", "}", members.map { try quoted($0.0) + keySeparator + text($0.1, level: level + 1) }, level)
    default: throw TemplateError("Object of type \(value.typeName) is not JSON serializable")
    }
  }

  private func name(_ key: TemplateValue) throws -> Text {
    switch key {
    case .string(let text): return text
    case .none: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .integer, .number: return Text(try text(key))
    default: throw TemplateError("keys must be str, int, float, bool or None, not \(key.typeName)")
    }
  }

  private func wrapped(_ open: String, _ close: String, _ items: [String], _ level: Int) throws -> String {
    guard !items.isEmpty else { return open + close }
    guard let indent else { return open + items.joined(separator: itemSeparator) + close }
    let inner = "\n" + String(repeating: indent, count: level + 1)
    return open + inner + items.joined(separator: itemSeparator + inner) + "\n"
      + String(repeating: indent, count: level) + close
  }

  private func quoted(_ text: Text) -> String {
    var result = "\""
    for scalar in text.scalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "\u{8}": result += "\\b"
      case "\u{c}": result += "\\f"
      case _ where scalar.value < 0x20: result += "\\u" + scalar.digits(4)
      case _ where escapesNonASCII && scalar.value > 0x7e:
        for unit in String(scalar).utf16 {
          let digits = String(unit, radix: 16)
          result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        }
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
