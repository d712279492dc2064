internal import OrderedCollections

/// A JSON document. Objects keep the order in which their members were written.
///
/// Ours rather than Foundation's because the files we read come from outside: duplicate keys, wrong types and stray
/// bytes must be refused with the byte at which they stand, integers must stay exact, and what we write must come out
/// the same every time.
public enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  /// A number written without fraction or exponent that fits.
  case integer(Int64)
  /// Any other number.
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)
}

/// The members of a JSON object, in order, with unique names. Names are bytes: what only Unicode calls equal is not.
public struct JSONObject: Sendable, Equatable, ExpressibleByDictionaryLiteral {
  private var values: OrderedDictionary<ByteName, JSONValue> = [:]

  public init() {}

  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    for (name, value) in elements { self[name] = value }
  }

  public subscript(name: String) -> JSONValue? {
    get { values[ByteName(name)] }
    set { values[ByteName(name)] = newValue }
  }

  public var members: [(name: String, value: JSONValue)] { values.map { ($0.key.text, $0.value) } }

  public var names: [String] { values.keys.map(\.text) }
}

extension JSONValue {
  public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
  public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
  public var string: String? { if case .string(let value) = self { value } else { nil } }
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var isNull: Bool { self == .null }

  /// The exact integer, also when it was written as `2.0`.
  public var integer: Int? {
    switch self {
    case .integer(let value): Int(exactly: value)
    case .number(let value): Int(exactly: value)
    default: nil
    }
  }

  public var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// The member of this name; nil when this is no object or has none.
  public subscript(name: String) -> JSONValue? { object?[name] }

  /// What kind of value this is, for error messages.
  public var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .integer: "an integer"
    case .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByFloatLiteral, ExpressibleByNilLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(nilLiteral: ()) { self = .null }
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    var object = JSONObject()
    for (name, value) in elements { object[name] = value }
    self = .object(object)
  }

  public init(_ value: Int) { self = .integer(Int64(value)) }
  public init(_ value: String) { self = .string(value) }
  public init(_ value: Bool) { self = .bool(value) }
  /// Keeps the shortest decimal that reads back as the same `Float`; JSON has no NaN or infinity, they become null.
  public init(_ value: Float) { self = value.isFinite ? .number(Double(value.description) ?? Double(value)) : .null }
  /// JSON has no NaN or infinity: they become null.
  public init(_ value: Double) { self = value.isFinite ? .number(value) : .null }
  public init(_ values: [Int]) { self = .array(values.map { JSONValue($0) }) }
  public init(_ values: [Float]) { self = .array(values.map { JSONValue($0) }) }
  public init(_ values: [String]) { self = .array(values.map { JSONValue($0) }) }
}
