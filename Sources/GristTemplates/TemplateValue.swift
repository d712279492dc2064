/// A value of the template language, which is Python's.
enum TemplateValue: Sendable {
  /// A name or member that is not there, and what to call it.
  case undefined(String)
  case none
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case string(Text)
  case list([TemplateValue])
  case tuple([TemplateValue])
  case dictionary(TemplateDictionary)
  /// What `namespace()` makes: the only thing that assignments inside of a loop change for those behind it.
  case namespace(TemplateNamespace)
  case callable(TemplateCallable)
  case loop(TemplateLoop)

  init(_ text: String) { self = .string(Text(text)) }
}

/// A Python `dict`: in the order of insertion.
struct TemplateDictionary: Sendable {
  private(set) var keys: [TemplateValue] = []
  private(set) var values: [TemplateValue] = []
  private var places: [TemplateKey: Int] = [:]

  init() {}

  var count: Int { keys.count }

  subscript(text: String) -> TemplateValue? { places[.string(Text(text))].map { values[$0] } }

  func value(_ key: TemplateKey) -> TemplateValue? { places[key].map { values[$0] } }

  mutating func set(_ key: TemplateValue, _ hashed: TemplateKey, _ value: TemplateValue) {
    if let place = places[hashed] {
      values[place] = value
    } else {
      places[hashed] = keys.count
      keys.append(key)
      values.append(value)
    }
  }

  mutating func set(_ name: String, _ value: TemplateValue) {
    set(.string(Text(name)), .string(Text(name)), value)
  }
}

/// What a dictionary is looked up by: 1, 1.0 and true are one key.
enum TemplateKey: Hashable, Sendable {
  case none
  case integer(Int)
  case number(Double)
  case string(Text)
  case tuple([TemplateKey])
}

/// Members that a template may set.
final class TemplateNamespace: @unchecked Sendable {
  // Unchecked: belongs to one rendering, which is one thread's.
  var members = TemplateDictionary()
}

/// The iteration that a loop is in.
final class TemplateLoop: @unchecked Sendable {
  // Unchecked: as above.
  let items: [TemplateValue]
  let depth: Int
  var index = 0
  var lastChanged: [TemplateValue]?
  /// What `loop(…)` does in a recursive loop.
  var again: (([TemplateValue]) throws -> TemplateValue)?

  init(items: [TemplateValue], depth: Int) { (self.items, self.depth) = (items, depth) }
}

/// Arguments of a call.
struct TemplateArguments {
  var positional: [TemplateValue] = []
  var named: [(name: String, value: TemplateValue)] = []

  /// The argument at a place or under a name; nil where neither is given.
  func value(_ place: Int, _ name: String) -> TemplateValue? {
    place >= 0 && place < positional.count ? positional[place] : named.first { $0.name == name }?.value
  }
}

/// Something that can be called.
final class TemplateCallable: @unchecked Sendable {
  // Unchecked: as above.
  let name: String
  let call: (TemplateArguments) throws -> TemplateValue
  /// Of a macro: its attributes.
  let attributes: [String: TemplateValue]

  init(
    _ name: String, attributes: [String: TemplateValue] = [:],
    _ call: @escaping (TemplateArguments) throws -> TemplateValue
  ) {
    (self.name, self.attributes, self.call) = (name, attributes, call)
  }
}

extension TemplateValue {
  var isUndefined: Bool { if case .undefined = self { true } else { false } }

  /// What Python's type is called, for messages.
  var typeName: String {
    switch self {
    case .undefined: "Undefined"
    case .none: "NoneType"
    case .bool: "bool"
    case .integer: "int"
    case .number: "float"
    case .string: "str"
    case .list: "list"
    case .tuple: "tuple"
    case .dictionary: "dict"
    case .namespace: "Namespace"
    case .callable: "function"
    case .loop: "LoopContext"
    }
  }

  /// Whether it counts as true.
  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .number(let value): value != 0
    case .string(let text): !text.isEmpty
    case .list(let items), .tuple(let items): !items.isEmpty
    case .dictionary(let dictionary): dictionary.count > 0
    case .namespace, .callable, .loop: true
    }
  }

  /// As a number, where it is one; true is 1.
  var asNumber: Double? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// As a whole number, where it is one.
  var asInteger: Int? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .integer(let value): value
    default: nil
    }
  }

  /// The items of what can be iterated over; nil for what cannot.
  var items: [TemplateValue]? {
    switch self {
    case .undefined: []
    case .string(let text): text.scalars.map { .string(Text([$0])) }
    case .list(let items), .tuple(let items): items
    case .dictionary(let dictionary): dictionary.keys
    case .loop(let loop): loop.items
    default: nil
    }
  }

  /// What a dictionary is looked up by; nil for what cannot be a key.
  var key: TemplateKey? {
    switch self {
    case .none: return TemplateKey.none
    case .bool(let value): return .integer(value ? 1 : 0)
    case .integer(let value): return .integer(value)
    case .number(let value): return Int(exactly: value).map { .integer($0) } ?? .number(value)
    case .string(let text): return .string(text)
    case .tuple(let items):
      let keys = items.compactMap(\.key)
      return keys.count == items.count ? .tuple(keys) : nil
    default: return nil
    }
  }

  /// `==`.
  func equals(_ other: TemplateValue) -> Bool {
    if let a = asNumber, let b = other.asNumber {
      if let a = asInteger, let b = other.asInteger { return a == b }
      return a == b
    }
    switch (self, other) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.string(let a), .string(let b)): return a == b
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
      return a.count == b.count && zip(a, b).allSatisfy { $0.equals($1) }
    case (.dictionary(let a), .dictionary(let b)):
      return a.count == b.count
        && zip(a.keys, a.values).allSatisfy { key, value in
          key.key.flatMap { b.value($0) }.map { value.equals($0) } ?? false
        }
    case (.namespace(let a), .namespace(let b)): return a === b
    case (.callable(let a), .callable(let b)): return a === b
    case (.loop(let a), .loop(let b)): return a === b
    default: return false
    }
  }

  /// Whether it stands before the other; nil where Python compares no such values.
  func isLess(than other: TemplateValue) -> Bool? {
    if let a = asInteger, let b = other.asInteger { return a < b }
    if let a = asNumber, let b = other.asNumber { return a < b }
    switch (self, other) {
    case (.string(let a), .string(let b)): return a < b
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
      for (x, y) in zip(a, b) where !x.equals(y) { return x.isLess(than: y) }
      return a.count < b.count
    default: return nil
    }
  }
}
