import GristCore

extension TemplateRenderer {
  // MARK: arithmetic

  func positive(_ value: TemplateValue) throws -> TemplateValue {
    switch value {
    case .number: return value
    default:
      guard let number = value.asInteger else { throw unfit("+", value) }
      return .integer(number)
    }
  }

  private func unfit(_ mark: String, _ value: TemplateValue) -> TemplateError {
    if case .undefined(let what) = value { return TemplateError(what) }
    return TemplateError("bad operand type for unary \(mark): '\(value.typeName)'")
  }

  private func unfit(_ mark: String, _ left: TemplateValue, _ right: TemplateValue) -> TemplateError {
    for case .undefined(let what) in [left, right] { return TemplateError(what) }
    return TemplateError("unsupported operand type(s) for \(mark): '\(left.typeName)' and '\(right.typeName)'")
  }

  func arithmetic(
    _ mark: String, _ left: TemplateValue, _ right: TemplateValue, isSign: Bool = false
  ) throws -> TemplateValue {
    if let a = left.asInteger, let b = right.asInteger, mark != "/" {
      if let value = try whole(mark, a, b) { return value }
    }
    if let a = left.asNumber, let b = right.asNumber {
      // -0.0 has a sign of its own.
      return isSign ? .number(-b) : .number(try real(mark, a, b))
    }
    if isSign { throw unfit("-", right) }
    switch (left, mark, right) {
    case (.string(let a), "+", .string(let b)):
      try spend(a.count + b.count)
      return .string(a + b)
    case (.list(let a), "+", .list(let b)):
      try spend(a.count + b.count)
      return .list(a + b)
    case (.tuple(let a), "+", .tuple(let b)):
      try spend(a.count + b.count)
      return .tuple(a + b)
    case (.string(let text), "*", _):
      return try right.asInteger.map { .string(Text(try repeated(text.scalars, $0))) }
        ?? { throw unfit(mark, left, right) }()
    case (_, "*", .string(let text)):
      return try left.asInteger.map { .string(Text(try repeated(text.scalars, $0))) }
        ?? { throw unfit(mark, left, right) }()
    case (.list(let items), "*", _):
      return try right.asInteger.map { .list(try repeated(items, $0)) } ?? { throw unfit(mark, left, right) }()
    case (_, "*", .list(let items)):
      return try left.asInteger.map { .list(try repeated(items, $0)) } ?? { throw unfit(mark, left, right) }()
    case (.string(let text), "%", _): return .string(try spending(PercentFormat.text(text, right)))
    default: throw unfit(mark, left, right)
    }
  }

  private func repeated<Item>(_ items: [Item], _ times: Int) throws -> [Item] {
    let (count, overflow) = items.count.multipliedReportingOverflow(by: max(times, 0))
    try spend(overflow ? .max : count)
    return Array(repeatElement(items, count: max(times, 0)).joined())
  }

  private func whole(_ mark: String, _ a: Int, _ b: Int) throws -> TemplateValue? {
    func checked(_ result: (partialValue: Int, overflow: Bool)) throws -> TemplateValue {
      guard !result.overflow else { throw TemplateError("a number beyond 64 bits") }
      return .integer(result.partialValue)
    }
    switch mark {
    case "+": return try checked(a.addingReportingOverflow(b))
    case "-": return try checked(a.subtractingReportingOverflow(b))
    case "*": return try checked(a.multipliedReportingOverflow(by: b))
    case "//", "%":
      guard b != 0 else { throw TemplateError("integer division or modulo by zero") }
      let (quotient, overflow) = a.dividedReportingOverflow(by: b)
      guard !overflow else { throw TemplateError("a number beyond 64 bits") }
      // Python rounds down.
      let remainder = a - quotient * b
      let isOff = remainder != 0 && (remainder < 0) != (b < 0)
      return .integer(mark == "//" ? (isOff ? quotient - 1 : quotient) : (isOff ? remainder + b : remainder))
    case "**":
      guard b >= 0 else { return nil }
      var (result, base, rest) = (1, a, b)
      while rest > 0 {
        if rest & 1 == 1 {
          guard case .integer(let next) = try checked(result.multipliedReportingOverflow(by: base)) else { return nil }
          result = next
        }
        rest >>= 1
        if rest > 0 {
          guard case .integer(let next) = try checked(base.multipliedReportingOverflow(by: base)) else { return nil }
          base = next
        }
      }
      return .integer(result)
    default: return nil
    }
  }

  private func real(_ mark: String, _ a: Double, _ b: Double) throws -> Double {
    switch mark {
    case "+": return a + b
    case "-": return a - b
    case "*": return a * b
    case "**": return power(a, b)
    default: break
    }
    guard b != 0 else { throw TemplateError(mark == "/" ? "division by zero" : "float modulo") }
    switch mark {
    case "/": return a / b
    case "//": return (a / b).rounded(.down)
    default:
      let remainder = a.truncatingRemainder(dividingBy: b)
      return remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder
    }
  }

  // MARK: comparison

  func compare(_ left: TemplateValue, _ mark: String, _ right: TemplateValue) throws -> Bool {
    switch mark {
    case "==": return left.equals(right)
    case "!=": return !left.equals(right)
    case "in": return try contains(right, left)
    case "not in": return try !contains(right, left)
    default: break
    }
    for case .undefined(let what) in [left, right] { throw TemplateError(what) }
    guard let less = left.isLess(than: right), let greater = right.isLess(than: left) else {
      throw TemplateError("'\(mark)' not supported between instances of '\(left.typeName)' and '\(right.typeName)'")
    }
    switch mark {
    case "<": return less
    case ">": return greater
    case "<=": return less || left.equals(right)
    default: return greater || left.equals(right)
    }
  }

  func contains(_ container: TemplateValue, _ item: TemplateValue) throws -> Bool {
    switch container {
    case .string(let text):
      guard case .string(let part) = item else {
        if case .undefined(let what) = item { throw TemplateError(what) }
        throw TemplateError("'in <string>' requires string as left operand, not \(item.typeName)")
      }
      try spend(text.count)
      return text.contains(part)
    case .dictionary(let dictionary):
      guard let key = item.key else {
        if case .undefined = item { return false }
        throw TemplateError("unhashable type: '\(item.typeName)'")
      }
      return dictionary.value(key) != nil
    default:
      guard let items = container.items else {
        throw TemplateError("argument of type '\(container.typeName)' is not iterable")
      }
      try spend(items.count)
      return items.contains { $0.equals(item) }
    }
  }

  // MARK: members

  /// `object.name`: an attribute, else an item.
  func member(of object: TemplateValue, _ name: String) throws -> TemplateValue {
    if case .undefined(let what) = object { throw TemplateError(what) }
    if let attribute = try attribute(of: object, name) { return attribute }
    if case .dictionary(let dictionary) = object, let value = dictionary[name] { return value }
    return missing(object, name)
  }

  private func missing(_ object: TemplateValue, _ name: String) -> TemplateValue {
    .undefined("'\(object.typeName) object' has no attribute '\(name)'")
  }

  /// `object[index]`: an item, else an attribute.
  func item(of object: TemplateValue, _ index: TemplateValue) throws -> TemplateValue {
    switch object {
    case .undefined(let what): throw TemplateError(what)
    case .dictionary(let dictionary):
      if let value = index.key.flatMap({ dictionary.value($0) }) { return value }
    case .string(let text):
      if let place = index.asInteger, let place = wrapped(place, text.count) {
        return .string(Text([text.scalars[place]]))
      }
    case .list(let items), .tuple(let items):
      if let place = index.asInteger, let place = wrapped(place, items.count) { return items[place] }
    default: break
    }
    if case .string(let name) = index, let attribute = try attribute(of: object, name.string) { return attribute }
    return missing(object, index.text.string)
  }

  private func wrapped(_ index: Int, _ count: Int) -> Int? {
    let place = index < 0 ? index + count : index
    return (0..<count).contains(place) ? place : nil
  }

  func slice(
    _ object: TemplateValue, _ start: TemplateValue?, _ stop: TemplateValue?, _ step: TemplateValue?
  ) throws -> TemplateValue {
    if case .undefined(let what) = object { throw TemplateError(what) }
    func bound(_ value: TemplateValue?) throws -> Int? {
      switch value {
      case nil, .some(.none): return nil
      case .some(let value):
        guard let number = value.asInteger else {
          throw TemplateError("slice indices must be integers or None or have an __index__ method")
        }
        return number
      }
    }
    let (start, stop, step) = (try bound(start), try bound(stop), try bound(step) ?? 1)
    guard step != 0 else { throw TemplateError("slice step cannot be zero") }
    func places(_ count: Int) throws -> [Int] {
      func clamped(_ value: Int?, _ fallback: Int) -> Int {
        guard let value else { return fallback }
        let place = value < 0 ? value.addingReportingOverflow(count).partialValue : value
        return step > 0 ? min(max(place, 0), count) : min(max(place, -1), count - 1)
      }
      let first = clamped(start, step > 0 ? 0 : count - 1)
      let last = clamped(stop, step > 0 ? count : -1)
      try spend(count)
      return Array(stride(from: first, to: last, by: step))
    }
    switch object {
    case .string(let text): return .string(Text(try places(text.count).map { text.scalars[$0] }))
    case .list(let items): return .list(try places(items.count).map { items[$0] })
    case .tuple(let items): return .tuple(try places(items.count).map { items[$0] })
    default: throw TemplateError("'\(object.typeName)' object is not subscriptable")
    }
  }
}
