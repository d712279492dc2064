import GristCore

/// What Python's pickle says, read without running it: nothing is imported or called, and what the data would call is
/// kept as a name with its arguments. Protocols 2 to 5, the operations that containers, numbers, texts and calls need
/// (Lib/pickletools.py).
///
/// Values stand in tables and name each other by their places there, so that what is nested without end costs no stack,
/// and what names itself no memory.
struct PickleReader {
  enum Value {
    case none
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case text(String)
    case bytes
    case tuple(Int)
    case list(Int)
    case dictionary(Int)
    /// A class or function, as "module.name".
    case global(String)
    case call(Int)
    /// What stands outside of the data, by its identity.
    case persistent(Int)
  }

  /// What would have been called.
  struct Call {
    let function: String
    let arguments: [Value]
  }

  private(set) var tuples: [[Value]] = []
  private(set) var lists: [[Value]] = []
  private(set) var dictionaries: [[(key: Value, value: Value)]] = []
  private(set) var calls: [Call] = []
  private(set) var persistent: [Value] = []

  /// Whether a class or function may be named at all.
  private let allows: (String) -> Bool
  private let bytes: Bytes
  private let path: String
  /// Where the data begin in their file, for messages.
  private let start: Int
  private var offset = 0
  private var stack: [Value] = []
  /// Heights of the stack at which a mark stands.
  private var marks: [Int] = []
  private var memo: [Int: Value] = [:]

  /// What one file may ask for. A checkpoint takes about forty operations a tensor.
  static let operationLimit = 4_000_000

  private init(_ bytes: Bytes, path: String, start: Int, allows: @escaping (String) -> Bool) {
    self.bytes = bytes
    self.path = path
    self.start = start
    self.allows = allows
  }

  /// Reads one value, and the tables that it names.
  ///
  /// - Parameters:
  ///   - bytes: the data.
  ///   - path: the file, for messages.
  ///   - start: where they begin in it, for messages.
  ///   - allows: whether a class or function, "module.name", may be named.
  ///
  /// - Throws: 65 with the offset for a name that is not allowed and for data that are no pickle.
  static func read(
    _ bytes: Bytes, path: String, start: Int, allows: @escaping (String) -> Bool
  ) throws -> (value: Value, reader: PickleReader) {
    var reader = PickleReader(bytes, path: path, start: start, allows: allows)
    let value = try reader.run()
    return (value, reader)
  }

  func failure(_ what: String, found: String? = nil, advice: String = "fetch the file again") -> GristError {
    GristError(.badData, what, file: path, offset: UInt64(start + offset), found: found, advice: advice)
  }

  // MARK: Reading

  private mutating func take(_ count: Int) throws -> Bytes {
    guard count >= 0, let slice = bytes.slice(offset, count) else { throw failure("the pickled data end too early") }
    offset += count
    return slice
  }

  private mutating func number<Integer: FixedWidthInteger>(_ type: Integer.Type) throws -> Int {
    guard let value = bytes.integer(at: offset, as: type), let number = Int(exactly: value) else {
      throw failure("the pickled data end too early, or hold a number that makes no sense")
    }
    offset += MemoryLayout<Integer>.size
    return number
  }

  private mutating func text(_ count: Int) throws -> Value {
    guard let text = try take(count).utf8 else { throw failure("a text that is no UTF-8") }
    return .text(text)
  }

  private mutating func line() throws -> String {
    let rest = bytes.count - offset
    guard let piece = bytes.slice(offset, min(rest, 512)),
      let length = piece.array.firstIndex(of: UInt8(ascii: "\n")), let line = try take(length + 1).utf8
    else { throw failure("a name without an end") }
    return String(line.dropLast())
  }

  /// A whole number of up to eight bytes, little-endian, signed.
  private mutating func long(_ count: Int) throws -> Value {
    let digits = try take(count).array
    guard digits.count <= 8 else { throw failure("a whole number that counts nothing", found: "\(digits.count) bytes") }
    let isNegative = digits.last.map { $0 & 0x80 != 0 } ?? false
    let filled = digits + Array(repeating: isNegative ? 0xff : 0, count: 8 - digits.count)
    let value = filled.enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element) << (8 * UInt64($1.offset)) }
    return .integer(Int(Int64(bitPattern: value)))
  }

  // MARK: The stack

  private mutating func pop() throws -> Value {
    guard stack.count > marks.last ?? 0, let value = stack.popLast() else {
      throw failure("the pickled data take what is not there")
    }
    return value
  }

  private mutating func popToMark() throws -> [Value] {
    guard let mark = marks.popLast() else { throw failure("the pickled data take what is not there") }
    let values = Array(stack[mark...])
    stack.removeLast(values.count)
    return values
  }

  private mutating func push(tuple values: [Value]) {
    stack.append(.tuple(tuples.count))
    tuples.append(values)
  }

  private mutating func push(global name: String) throws {
    guard allows(name) else {
      throw failure(
        "the pickled data ask for what no tensor needs; it was not run", found: name,
        advice: "save the weights as safetensors")
    }
    stack.append(.global(name))
  }

  // MARK: Running

  private mutating func run() throws -> Value {
    for _ in 0..<Self.operationLimit {
      let operation = UInt8(truncatingIfNeeded: try number(UInt8.self))
      if operation == UInt8(ascii: ".") { return try pop() }
      if try scalar(operation) { continue }
      if try container(operation) { continue }
      if try reference(operation) { continue }
      offset -= 1
      throw failure("an operation that tensors do not need", found: "0x" + String(operation, radix: 16))
    }
    throw failure("pickled data of more than \(Self.operationLimit) operations")
  }

  /// Operations that push a value of their own.
  private mutating func scalar(_ operation: UInt8) throws -> Bool {
    switch operation {
    case UInt8(ascii: "N"): stack.append(.none)
    case 0x88: stack.append(.bool(true))
    case 0x89: stack.append(.bool(false))
    case UInt8(ascii: "K"): stack.append(.integer(try number(UInt8.self)))
    case UInt8(ascii: "M"): stack.append(.integer(try number(UInt16.self)))
    case UInt8(ascii: "J"): stack.append(.integer(try number(Int32.self)))
    case 0x8a: stack.append(try long(number(UInt8.self)))
    case UInt8(ascii: "G"):
      let digits = try take(8).array.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      stack.append(.number(Double(bitPattern: digits)))
    case UInt8(ascii: "X"): stack.append(try text(number(UInt32.self)))
    case 0x8c: stack.append(try text(number(UInt8.self)))
    case 0x8d: stack.append(try text(number(UInt64.self)))
    // Python 2's strings, which hold names.
    case UInt8(ascii: "U"): stack.append(try text(number(UInt8.self)))
    case UInt8(ascii: "T"): stack.append(try text(number(Int32.self)))
    case UInt8(ascii: "C"):
      _ = try take(number(UInt8.self))
      stack.append(.bytes)
    case UInt8(ascii: "B"):
      _ = try take(number(UInt32.self))
      stack.append(.bytes)
    case 0x80:
      let version = try number(UInt8.self)
      guard (2...5).contains(version) else {
        throw failure("a protocol that torch does not write", found: "\(version)")
      }
    case 0x95: _ = try take(8)
    default: return false
    }
    return true
  }

  /// Operations that make containers and fill them.
  private mutating func container(_ operation: UInt8) throws -> Bool {
    switch operation {
    case UInt8(ascii: "("): marks.append(stack.count)
    case UInt8(ascii: "0"): _ = try pop()
    case UInt8(ascii: "1"): _ = try popToMark()
    case UInt8(ascii: ")"): push(tuple: [])
    case UInt8(ascii: "t"): push(tuple: try popToMark())
    case 0x85, 0x86, 0x87:
      var values: [Value] = []
      for _ in 0x85...operation { values.append(try pop()) }
      push(tuple: values.reversed())
    case UInt8(ascii: "]"):
      stack.append(.list(lists.count))
      lists.append([])
    case UInt8(ascii: "}"):
      stack.append(.dictionary(dictionaries.count))
      dictionaries.append([])
    case UInt8(ascii: "a"): try append([pop()])
    case UInt8(ascii: "e"): try append(popToMark())
    case UInt8(ascii: "s"):
      let (value, key) = (try pop(), try pop())
      try set([key, value])
    case UInt8(ascii: "u"): try set(popToMark())
    default: return false
    }
    return true
  }

  private mutating func append(_ values: [Value]) throws {
    guard case .list(let place)? = stack.last else { throw failure("a list was expected") }
    lists[place] += values
  }

  private mutating func set(_ values: [Value]) throws {
    guard case .dictionary(let place)? = stack.last, values.count % 2 == 0 else {
      throw failure("a dictionary was expected")
    }
    for index in stride(from: 0, to: values.count, by: 2) {
      dictionaries[place].append((values[index], values[index + 1]))
    }
  }

  /// Operations that name something: what was there before, classes, and what stands outside.
  private mutating func reference(_ operation: UInt8) throws -> Bool {
    switch operation {
    case UInt8(ascii: "q"): try remember(number(UInt8.self))
    case UInt8(ascii: "r"): try remember(number(UInt32.self))
    case 0x94: try remember(memo.count)
    case UInt8(ascii: "h"): try recall(number(UInt8.self))
    case UInt8(ascii: "j"): try recall(number(UInt32.self))
    case UInt8(ascii: "2"):
      let value = try pop()
      stack += [value, value]
    case UInt8(ascii: "c"):
      let module = try line()
      try push(global: module + "." + line())
    case 0x93:
      guard case .text(let name) = try pop(), case .text(let module) = try pop() else {
        throw failure("a class is named by two texts")
      }
      try push(global: module + "." + name)
    case UInt8(ascii: "R"), 0x81: try call()
    case UInt8(ascii: "b"):
      // A state to be laid upon what was made; of tensors and dictionaries it changes no value.
      _ = try pop()
    case UInt8(ascii: "Q"):
      let identity = try pop()
      stack.append(.persistent(persistent.count))
      persistent.append(identity)
    default: return false
    }
    return true
  }

  private mutating func remember(_ place: Int) throws {
    guard stack.count > marks.last ?? 0, let value = stack.last else {
      throw failure("the pickled data keep what is not there")
    }
    memo[place] = value
  }

  private mutating func recall(_ place: Int) throws {
    guard let value = memo[place] else { throw failure("the pickled data recall what was not kept", found: "\(place)") }
    stack.append(value)
  }

  private mutating func call() throws {
    guard case .tuple(let place) = try pop(), case .global(let function) = try pop() else {
      throw failure("a call of something that is no class and no function")
    }
    let arguments = tuples[place]
    guard function == "collections.OrderedDict" else {
      stack.append(.call(calls.count))
      calls.append(Call(function: function, arguments: arguments))
      return
    }
    var entries: [(key: Value, value: Value)] = []
    if case .list(let list)? = arguments.first {
      for case .list(let pair) in lists[list] where lists[pair].count == 2 {
        entries.append((lists[pair][0], lists[pair][1]))
      }
    }
    stack.append(.dictionary(dictionaries.count))
    dictionaries.append(entries)
  }
}
