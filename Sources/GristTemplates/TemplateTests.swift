extension TemplateRenderer {
  /// `value is name(arguments)`.
  func test(_ name: String, _ value: TemplateValue, _ arguments: TemplateArguments) throws -> Bool {
    func other() throws -> TemplateValue { try arguments.required(0, "other") }
    switch name {
    case "defined": return !value.isUndefined
    case "undefined": return value.isUndefined
    case "none": if case .none = value { return true } else { return false }
    case "true": if case .bool(true) = value { return true } else { return false }
    case "false": if case .bool(false) = value { return true } else { return false }
    case "boolean": if case .bool = value { return true } else { return false }
    case "integer": if case .integer = value { return true } else { return false }
    case "float": if case .number = value { return true } else { return false }
    case "number": return value.asNumber != nil
    case "string": if case .string = value { return true } else { return false }
    case "mapping": if case .dictionary = value { return true } else { return false }
    case "sequence":
      switch value {
      case .string, .list, .tuple, .dictionary, .undefined: return true
      default: return false
      }
    case "iterable": return value.items != nil
    case "callable":
      switch value {
      case .callable, .loop: return true
      // An undefined value has a method for it, which fails.
      case .undefined: return true
      default: return false
      }
    case "sameas": return try isSame(value, other())
    case "eq", "equalto", "==": return try compare(value, "==", other())
    case "ne", "!=": return try compare(value, "!=", other())
    case "lt", "lessthan", "<": return try compare(value, "<", other())
    case "le", "<=": return try compare(value, "<=", other())
    case "gt", "greaterthan", ">": return try compare(value, ">", other())
    case "ge", ">=": return try compare(value, ">=", other())
    case "in": return try contains(other(), value)
    case "odd", "even":
      guard case .integer(let remainder) = try arithmetic("%", value, .integer(2)) else { return false }
      return remainder == (name == "odd" ? 1 : 0)
    case "divisibleby":
      guard case .integer(let remainder) = try arithmetic("%", value, other()) else { return false }
      return remainder == 0
    case "lower": return value.text.isLower
    case "upper": return value.text.isUpper
    case "escaped": return false
    case "filter": return Self.filters.contains(value.text.string)
    case "test": return Self.tests.contains(value.text.string)
    default: throw TemplateError("No test named '\(name)'.")
    }
  }

  private func isSame(_ a: TemplateValue, _ b: TemplateValue) -> Bool {
    switch (a, b) {
    case (.none, .none): return true
    case (.bool(let a), .bool(let b)): return a == b
    case (.integer(let a), .integer(let b)): return a == b
    case (.string(let a), .string(let b)): return a == b
    case (.namespace(let a), .namespace(let b)): return a === b
    default: return false
    }
  }

  private static let filters: Set<String> = [
    "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape", "first",
    "float",
    "forceescape", "format", "groupby", "indent", "int", "items", "join", "last", "length", "list", "lower", "map",
    "max",
    "min", "reject", "rejectattr", "replace", "reverse", "round", "safe", "select", "selectattr", "slice", "sort",
    "string", "striptags", "sum", "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode", "wordcount",
  ]
  private static let tests: Set<String> = [
    "boolean", "callable", "defined", "divisibleby", "eq", "equalto", "escaped", "even", "false", "filter", "float",
    "ge",
    "greaterthan", "gt", "in", "integer", "iterable", "le", "lessthan", "lower", "lt", "mapping", "ne", "none",
    "number", "odd",
    "sameas", "sequence", "string", "test", "true", "undefined", "upper",
  ]
}
