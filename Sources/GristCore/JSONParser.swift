extension JSONValue {
  /// Parses one JSON document (RFC 8259). Stricter than most: duplicate names, a byte order mark, invalid UTF-8, lone
  /// surrogates, numbers that overflow a double and nesting beyond 128 levels are errors. So are more values than a
  /// million and one for every eight bytes: each takes some thirty bytes of memory, and real documents have fewer.
  ///
  /// - Throws: ``GristError`` 65 with the byte offset at which the document stops making sense.
  public static func parse(_ bytes: Bytes) throws -> JSONValue {
    try bytes.withUnsafeBytes { buffer in
      var parser = JSONParser(input: buffer, valuesLeft: (1 << 20) + buffer.count / 8)
      return try parser.document()
    }
  }

  /// Parses a document that is one object as `parse` does, and gives its members away one after the other, so that
  /// only one of them is in memory.
  ///
  /// - Parameters:
  ///   - bytes: the document.
  ///   - body: hears each member's name and value, in the order in which they are written. A name that is written twice
  ///     is noticed at its second place.
  ///
  /// - Throws: 65 with the byte offset at which the document stops making sense, and what `body` throws.
  public static func parseMembers(of bytes: Bytes, _ body: (String, JSONValue) throws -> Void) throws {
    try bytes.withUnsafeBytes { buffer in
      var parser = JSONParser(input: buffer, valuesLeft: (1 << 20) + buffer.count / 8)
      try parser.document(body)
    }
  }

  /// - Throws: 65 with the byte offset at which the document stops making sense.
  public static func parse(_ text: String) throws -> JSONValue { try parse(Bytes(Array(text.utf8))) }
}

private struct JSONParser {
  let input: UnsafeRawBufferPointer
  var position = 0
  var depth = 0
  static let depthLimit = 128
  var valuesLeft: Int

  func failure(_ what: String, at offset: Int? = nil) -> GristError {
    let offset = offset ?? position
    let found: String? =
      offset < input.count
      ? (0x20..<0x7f).contains(input[offset])
        ? "'\(Character(UnicodeScalar(input[offset])))'" : "byte 0x\(String(input[offset], radix: 16))"
      : "the end"
    return GristError(.badData, "bad JSON: \(what)", offset: UInt64(offset), found: found)
  }

  mutating func document() throws -> JSONValue {
    let value = try self.value()
    skipSpace()
    guard position == input.count else { throw failure("something follows the document") }
    return value
  }

  mutating func document(_ body: (String, JSONValue) throws -> Void) throws {
    skipSpace()
    guard peek() == UInt8(ascii: "{") else { throw failure("an object was expected") }
    var names: Set<ByteName> = []
    depth += 1
    position += 1
    try members { name, start, parser in
      guard names.insert(ByteName(name)).inserted else {
        throw parser.failure("the name \"\(name)\" appears twice in one object", at: start)
      }
      try body(name, parser.value())
    }
    skipSpace()
    guard position == input.count else { throw failure("something follows the document") }
  }

  mutating func skipSpace() {
    while position < input.count {
      switch input[position] {
      case 0x20, 0x09, 0x0a, 0x0d: position += 1
      default: return
      }
    }
  }

  func peek() -> UInt8? { position < input.count ? input[position] : nil }

  mutating func take(_ byte: UInt8) -> Bool {
    guard peek() == byte else { return false }
    position += 1
    return true
  }

  mutating func value() throws -> JSONValue {
    skipSpace()
    valuesLeft -= 1
    guard valuesLeft >= 0 else { throw failure("more values than a document of its length has use for") }
    switch peek() {
    case UInt8(ascii: "{"): return try nested { try $0.objectBody() }
    case UInt8(ascii: "["): return try nested { try $0.arrayBody() }
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try literal("true", .bool(true))
    case UInt8(ascii: "f"): return try literal("false", .bool(false))
    case UInt8(ascii: "n"): return try literal("null", .null)
    default: return try number()
    }
  }

  mutating func nested(_ body: (inout JSONParser) throws -> JSONValue) throws -> JSONValue {
    guard depth < Self.depthLimit else { throw failure("nested deeper than \(Self.depthLimit) levels") }
    depth += 1
    defer { depth -= 1 }
    position += 1
    return try body(&self)
  }

  mutating func objectBody() throws -> JSONValue {
    var object = JSONObject()
    try members { name, start, parser in
      guard object[name] == nil else {
        throw parser.failure("the name \"\(name)\" appears twice in one object", at: start)
      }
      object[name] = try parser.value()
    }
    return .object(object)
  }

  /// The members of an object whose brace is behind; `member` is given each name with its place, and reads the value.
  mutating func members(_ member: (String, Int, inout JSONParser) throws -> Void) throws {
    skipSpace()
    if take(UInt8(ascii: "}")) { return }
    while true {
      skipSpace()
      let start = position
      guard peek() == UInt8(ascii: "\"") else { throw failure("a member's name was expected") }
      let name = try string()
      skipSpace()
      guard take(UInt8(ascii: ":")) else { throw failure("a colon was expected") }
      try member(name, start, &self)
      skipSpace()
      if take(UInt8(ascii: "}")) { return }
      guard take(UInt8(ascii: ",")) else { throw failure("a comma or a closing brace was expected") }
    }
  }

  mutating func arrayBody() throws -> JSONValue {
    var elements: [JSONValue] = []
    // A long list would be copied as it grows, and take twice its memory for that.
    var parts: [[JSONValue]] = []
    skipSpace()
    if take(UInt8(ascii: "]")) { return .array(elements) }
    if let count = countOfNumbers() { elements.reserveCapacity(min(count, valuesLeft, Self.partLength)) }
    while true {
      elements.append(try value())
      skipSpace()
      if take(UInt8(ascii: "]")) { break }
      guard take(UInt8(ascii: ",")) else { throw failure("a comma or a closing bracket was expected") }
      if elements.count == Self.partLength {
        parts.append(elements)
        elements = []
        elements.reserveCapacity(Self.partLength)
      }
    }
    if parts.isEmpty { return .array(elements) }
    parts.append(elements)
    elements = []
    elements.reserveCapacity(parts.reduce(0) { $0 + $1.count })
    for index in parts.indices {
      elements += parts[index]
      parts[index] = []
    }
    return .array(elements)
  }

  /// Elements of a list that lie together while it is read.
  private static let partLength = 1 << 16

  /// How many numbers follow up to the end of their list; nil where other values do.
  func countOfNumbers() -> Int? {
    var count = 1
    for byte in input[position...] {
      switch byte {
      case UInt8(ascii: ","): count += 1
      case UInt8(ascii: "]"): return count
      case UInt8(ascii: "["), UInt8(ascii: "{"), UInt8(ascii: "\""): return nil
      default: continue
      }
    }
    return nil
  }

  mutating func literal(_ text: StaticString, _ value: JSONValue) throws -> JSONValue {
    let start = position
    for expected in text.description.utf8 {
      guard take(expected) else { throw failure("a value was expected", at: start) }
    }
    return value
  }

  mutating func digits() -> Int {
    let start = position
    while let byte = peek(), (0x30...0x39).contains(byte) { position += 1 }
    return position - start
  }

  mutating func number() throws -> JSONValue {
    let start = position
    _ = take(UInt8(ascii: "-"))
    let leadingZero = peek() == UInt8(ascii: "0")
    let whole = digits()
    guard whole > 0 else { throw failure("a value was expected", at: start) }
    guard !leadingZero || whole == 1 else { throw failure("a number starts with a needless zero", at: start) }
    var isWhole = true
    if take(UInt8(ascii: ".")) {
      isWhole = false
      guard digits() > 0 else { throw failure("digits were expected") }
    }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      isWhole = false
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      guard digits() > 0 else { throw failure("digits were expected") }
    }
    let text = String(decoding: input[start..<position], as: UTF8.self)
    if isWhole, let integer = Int64(text) { return .integer(integer) }
    guard let double = Double(text), double.isFinite else { throw failure("a number is too large", at: start) }
    return .number(double)
  }

  /// Goes on to the next byte that means something in a string, or to the end.
  mutating func skipOrdinary() {
    while position < input.count {
      switch input[position] {
      case 0..<0x20, UInt8(ascii: "\""), UInt8(ascii: "\\"): return
      default: position += 1
      }
    }
  }

  /// The bytes as text, or nil when they are not valid UTF-8: what had to be repaired has other bytes.
  /// `String(validating:)` says the same, but looks up its generic types each time, which took a fifth of opening a
  /// file.
  static func text(_ bytes: UnsafeRawBufferPointer) -> String? {
    let text = String(decoding: bytes, as: UTF8.self)
    return text.utf8.equals(bytes) ? text : nil
  }

  mutating func string() throws -> String {
    let start = position
    position += 1
    var bytes: [UInt8] = []  // before and in the last escape
    while true {
      let ordinary = position
      skipOrdinary()
      let run = UnsafeRawBufferPointer(rebasing: input[ordinary..<position])
      guard let byte = peek() else { throw failure("a string has no end", at: start) }
      switch byte {
      case UInt8(ascii: "\""):
        position += 1
        // Without escapes, as nearly all strings are, nothing is put together first.
        guard let text = bytes.isEmpty ? Self.text(run) : (bytes + run).withUnsafeBytes(Self.text) else {
          throw failure("a string is not valid UTF-8", at: start)
        }
        return text
      case UInt8(ascii: "\\"):
        position += 1
        bytes += run
        try escape(into: &bytes)
      default: throw failure("a control character stands in a string")
      }
    }
  }

  mutating func escape(into bytes: inout [UInt8]) throws {
    guard let byte = peek() else { throw failure("a string has no end") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(byte)
    case UInt8(ascii: "b"): bytes.append(0x08)
    case UInt8(ascii: "f"): bytes.append(0x0c)
    case UInt8(ascii: "n"): bytes.append(0x0a)
    case UInt8(ascii: "r"): bytes.append(0x0d)
    case UInt8(ascii: "t"): bytes.append(0x09)
    case UInt8(ascii: "u"):
      let start = position
      var code = try hexadecimal()
      if (0xd800..<0xdc00).contains(code), take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) {
        let low = try hexadecimal()
        guard (0xdc00..<0xe000).contains(low) else { throw failure("a surrogate stands alone", at: start) }
        code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
      }
      guard let scalar = UnicodeScalar(code) else { throw failure("a surrogate stands alone", at: start) }
      bytes.append(contentsOf: Array(String(Character(scalar)).utf8))
    default: throw failure("an unknown escape", at: position - 1)
    }
  }

  mutating func hexadecimal() throws -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek(), let digit = Character(UnicodeScalar(byte)).hexDigitValue else {
        throw failure("four hexadecimal digits were expected")
      }
      code = code << 4 | UInt32(digit)
      position += 1
    }
    return code
  }
}
