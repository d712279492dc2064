/// Typed access to a JSON object that came from outside: what is missing or of the wrong kind is an error that names
/// the file and the field.
public struct JSONReader: Sendable {
  public let object: JSONObject
  public let file: String
  /// Names of the enclosing objects, for messages: "vision_config.".
  private let prefix: String

  /// - Throws: 65 when the value is no object.
  public init(_ value: JSONValue, file: String) throws {
    guard let object = value.object else {
      throw GristError(.badData, "a JSON object was expected", file: file, found: value.kind)
    }
    self.init(object, file: file, prefix: "")
  }

  private init(_ object: JSONObject, file: String, prefix: String) {
    self.object = object
    self.file = file
    self.prefix = prefix
  }

  /// Reads and parses a file that must hold one JSON object.
  ///
  /// - Throws: 66 when the file is not there, 65 when it holds no JSON object.
  public init(path: String) throws {
    let bytes = try readFile(path, limit: 256 << 20)
    self = try JSONReader(locating(file: path) { try JSONValue.parse(bytes) }, file: path)
  }

  /// The value of `name`, nil when it is absent or null.
  public func value(_ name: String) -> JSONValue? {
    guard let value = object[name], !value.isNull else { return nil }
    return value
  }

  public func has(_ name: String) -> Bool { value(name) != nil }

  public func failure(_ name: String, _ expected: String) -> GristError {
    GristError(
      .badData, "\"\(prefix)\(name)\" must be \(expected)", file: file, found: value(name)?.text() ?? "nothing")
  }

  private func read<Value>(
    _ name: String, default fallback: Value?, _ expected: @autoclosure () -> String, _ convert: (JSONValue) -> Value?
  ) throws -> Value {
    guard let value = value(name) else {
      if let fallback { return fallback }
      throw failure(name, expected())
    }
    guard let converted = convert(value) else { throw failure(name, expected()) }
    return converted
  }

  /// A whole number in `range`; required when there is no default.
  ///
  /// - Throws: 65 naming the file and the field.
  public func integer(_ name: String, in range: ClosedRange<Int>, default fallback: Int? = nil) throws -> Int {
    try read(name, default: fallback, "a whole number from \(range.lowerBound) to \(range.upperBound)") {
      $0.integer.flatMap { range.contains($0) ? $0 : nil }
    }
  }

  /// - Throws: 65 naming the file and the field.
  public func double(_ name: String, default fallback: Double? = nil) throws -> Double {
    try read(name, default: fallback, "a number") { $0.double }
  }

  /// - Throws: 65 naming the file and the field.
  public func string(_ name: String, default fallback: String? = nil) throws -> String {
    try read(name, default: fallback, "a string") { $0.string }
  }

  /// - Throws: 65 naming the file and the field.
  public func bool(_ name: String, default fallback: Bool? = nil) throws -> Bool {
    try read(name, default: fallback, "true or false") { $0.bool }
  }

  /// - Throws: 65 naming the file and the field.
  public func array(_ name: String, default fallback: [JSONValue]? = nil) throws -> [JSONValue] {
    try read(name, default: fallback, "an array") { $0.array }
  }

  /// - Throws: 65 naming the file and the field.
  public func integers(
    _ name: String, in range: ClosedRange<Int>, default fallback: [Int]? = nil
  ) throws -> [Int] {
    try read(name, default: fallback, "an array of whole numbers from \(range.lowerBound) to \(range.upperBound)") {
      guard let array = $0.array else { return nil }
      let integers = array.compactMap { $0.integer.flatMap { range.contains($0) ? $0 : nil } }
      return integers.count == array.count ? integers : nil
    }
  }

  /// - Throws: 65 naming the file and the field.
  public func strings(_ name: String, default fallback: [String]? = nil) throws -> [String] {
    try read(name, default: fallback, "an array of strings") {
      guard let array = $0.array else { return nil }
      let strings = array.compactMap(\.string)
      return strings.count == array.count ? strings : nil
    }
  }

  /// - Throws: 65 naming the file and the field.
  public func object(_ name: String) throws -> JSONReader {
    let object = try read(name, default: nil, "an object") { $0.object }
    return JSONReader(object, file: file, prefix: prefix + name + ".")
  }

  /// The objects of an array of objects.
  ///
  /// - Throws: 65 naming the file and the field.
  public func objects(_ name: String, default fallback: [JSONValue]? = nil) throws -> [JSONReader] {
    try array(name, default: fallback).enumerated().map { index, value in
      guard let object = value.object else {
        throw GristError(
          .badData, "\"\(prefix)\(name)[\(index)]\" must be an object", file: file, found: value.kind)
      }
      return JSONReader(object, file: file, prefix: "\(prefix)\(name)[\(index)].")
    }
  }

  /// Refuses members that are not in `names`, so that nothing is skipped that was not understood.
  ///
  /// - Throws: 65 naming the first other member.
  public func allow(only names: Set<String>) throws {
    for name in object.names where !names.contains(name) {
      throw GristError(
        .badData, "\"\(prefix)\(name)\" is not known to this version", file: file, found: object[name]?.text(),
        advice: "use a newer gristmill")
    }
  }
}
