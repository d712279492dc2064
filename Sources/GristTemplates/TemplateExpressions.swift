// What stands in a template's braces: Jinja's expressions, by rising strength of their operators (`jinja2/parser.py`).

extension TemplateParser {
  /// Expressions with commas between them, or one.
  mutating func tuple(
    withCondition: Bool, endingWith ends: Set<String> = [], isParenthesised: Bool = false
  ) throws -> TemplateExpression {
    var items: [TemplateExpression] = []
    var isTuple = false
    while true {
      if case .name(let name) = token, ends.contains(name) { break }
      if token == .variableEnd || token == .blockEnd || isMark(")") { break }
      items.append(withCondition ? try expression() : try or())
      guard skip(",") else { break }
      isTuple = true
    }
    if !isTuple {
      if let only = items.first { return only }
      guard isParenthesised else { throw unexpected("an expression") }
    }
    return .tuple(items)
  }

  mutating func expression() throws -> TemplateExpression {
    try nested { parser in
      var value = try parser.or()
      while parser.skipName("if") {
        let test = try parser.or()
        let otherwise = parser.skipName("else") ? try parser.expression() : nil
        value = .condition(test, then: value, otherwise: otherwise)
      }
      return value
    }
  }

  mutating func or() throws -> TemplateExpression {
    var left = try and()
    while skipName("or") { left = .or(left, try and()) }
    return left
  }

  mutating func and() throws -> TemplateExpression {
    var left = try not()
    while skipName("and") { left = .and(left, try not()) }
    return left
  }

  mutating func not() throws -> TemplateExpression {
    guard isName("not") else { return try comparison() }
    return try nested { parser in
      parser.advance()
      return .not(try parser.not())
    }
  }

  mutating func comparison() throws -> TemplateExpression {
    let place = place
    let first = try sum()
    var rest: [(mark: String, operand: TemplateExpression)] = []
    while true {
      if case .mark(let mark) = token, ["==", "!=", "<", "<=", ">", ">="].contains(mark) {
        advance()
        rest.append((mark, try sum()))
      } else if skipName("in") {
        rest.append(("in", try sum()))
      } else if isName("not"), next == .name("in") {
        advance()
        advance()
        rest.append(("not in", try sum()))
      } else {
        return rest.isEmpty ? first : .comparison(first, rest, place)
      }
    }
  }

  mutating func binary(
    _ marks: Set<String>, _ operand: (inout TemplateParser) throws -> TemplateExpression
  ) throws -> TemplateExpression {
    var left = try operand(&self)
    while case .mark(let mark) = token, marks.contains(mark) {
      let place = place
      advance()
      left = .binary(left, mark, try operand(&self), place)
    }
    return left
  }

  mutating func sum() throws -> TemplateExpression { try binary(["+", "-"]) { try $0.concatenation() } }

  mutating func concatenation() throws -> TemplateExpression {
    var parts = [try product()]
    while skip("~") { parts.append(try product()) }
    return parts.count == 1 ? parts[0] : .concatenation(parts)
  }

  mutating func product() throws -> TemplateExpression { try binary(["*", "/", "//", "%"]) { try $0.power() } }

  mutating func power() throws -> TemplateExpression { try binary(["**"]) { try $0.unary(withFilters: true) } }

  mutating func unary(withFilters: Bool) throws -> TemplateExpression {
    try nested { parser in
      let place = parser.place
      var value: TemplateExpression
      if parser.skip("-") {
        value = .sign(try parser.unary(withFilters: false), isNegative: true, place)
      } else if parser.skip("+") {
        value = .sign(try parser.unary(withFilters: false), isNegative: false, place)
      } else {
        value = try parser.primary()
      }
      value = try parser.postfix(value)
      return withFilters ? try parser.filtersAndTests(value) : value
    }
  }

  mutating func primary() throws -> TemplateExpression {
    let place = place
    switch token {
    case .name(let name):
      advance()
      switch name {
      case "true", "True": return .constant(.bool(true))
      case "false", "False": return .constant(.bool(false))
      case "none", "None": return .constant(.none)
      default: return .name(name, place)
      }
    case .string(var text):
      advance()
      while case .string(let more) = token {
        text = text + more
        advance()
      }
      return .constant(.string(text))
    case .integer(let value):
      advance()
      return .constant(.integer(value))
    case .number(let value):
      advance()
      return .constant(.number(value))
    case .mark("("):
      advance()
      let value = try nested { try $0.tuple(withCondition: true, isParenthesised: true) }
      try expect(")")
      return value
    case .mark("["):
      advance()
      var items: [TemplateExpression] = []
      while !isMark("]") {
        if !items.isEmpty { try expect(",") }
        if isMark("]") { break }
        items.append(try expression())
      }
      try expect("]")
      return .list(items)
    case .mark("{"):
      advance()
      var members: [(TemplateExpression, TemplateExpression)] = []
      while !isMark("}") {
        if !members.isEmpty { try expect(",") }
        if isMark("}") { break }
        let key = try expression()
        try expect(":")
        members.append((key, try expression()))
      }
      try expect("}")
      return .dictionary(members.map { ($0.0, $0.1) }, place)
    default: throw unexpected("an expression")
    }
  }

  mutating func postfix(_ given: TemplateExpression) throws -> TemplateExpression {
    var value = given
    while true {
      let place = place
      if skip(".") {
        if case .integer(let index) = token {
          advance()
          value = .item(value, .constant(.integer(index)), place)
        } else {
          value = .member(value, try expectName(), place)
        }
      } else if skip("[") {
        value = try subscripted(value, place)
      } else if isMark("(") {
        value = .call(value, try arguments(), place)
      } else {
        return value
      }
    }
  }

  mutating func subscripted(_ value: TemplateExpression, _ place: TemplatePlace) throws -> TemplateExpression {
    var start: TemplateExpression?
    if !isMark(":") {
      let index = try expression()
      if isMark(",") {
        var items = [index]
        while skip(",") { if !isMark("]") { items.append(try expression()) } }
        try expect("]")
        return .item(value, .tuple(items), place)
      }
      if skip("]") { return .item(value, index, place) }
      start = index
    }
    try expect(":")
    let stop = isMark(":") || isMark("]") ? nil : try expression()
    let step = skip(":") && !isMark("]") ? try expression() : nil
    try expect("]")
    return .slice(value, start: start, stop: stop, step: step, place)
  }

  mutating func arguments() throws -> TemplateCallSyntax {
    var arguments = TemplateCallSyntax()
    try expect("(")
    var isFirst = true
    while !isMark(")") {
      if !isFirst { try expect(",") }
      if isMark(")") { break }
      isFirst = false
      if skip("*") {
        arguments.spreadList = try expression()
      } else if skip("**") {
        arguments.spreadNames = try expression()
      } else if case .name(let name) = token, next == .mark("=") {
        advance()
        advance()
        arguments.named.append((name, try expression()))
      } else {
        guard arguments.named.isEmpty else {
          throw TemplateError("an argument without a name behind one that has one", place)
        }
        arguments.positional.append(try expression())
      }
    }
    try expect(")")
    return arguments
  }

  mutating func dottedName() throws -> String {
    var name = try expectName()
    while isMark("."), case .name(let part) = next {
      advance()
      advance()
      name += "." + part
    }
    return name
  }

  /// Filters in a row; `isFirst` where the first has no bar before it.
  mutating func filters(_ given: TemplateExpression?, isFirst: Bool) throws -> TemplateExpression? {
    var (value, isFirst) = (given, isFirst)
    while isFirst || isMark("|") {
      let place = place
      if !isFirst { advance() }
      isFirst = false
      let name = try dottedName()
      value = .filter(value, name, isMark("(") ? try arguments() : TemplateCallSyntax(), place)
    }
    return value
  }

  mutating func filtersAndTests(_ given: TemplateExpression) throws -> TemplateExpression {
    var value = given
    while true {
      let place = place
      if isMark("|") {
        value = try filters(value, isFirst: false) ?? value
      } else if skipName("is") {
        let isNegated = skipName("not")
        let name = try dottedName()
        var arguments = TemplateCallSyntax()
        if isMark("(") {
          arguments = try self.arguments()
        } else if startsTestArgument {
          guard !isName("is") else { throw TemplateError("tests cannot be chained with \"is\"", self.place) }
          let argument = try primary()
          arguments.positional = [try postfix(argument)]
        }
        let test = TemplateExpression.test(value, name, arguments, place)
        value = isNegated ? .not(test) : test
      } else if isMark("(") {
        value = .call(value, try self.arguments(), place)
      } else {
        return value
      }
    }
  }

  var startsTestArgument: Bool {
    switch token {
    case .name(let name): !["else", "or", "and"].contains(name)
    case .string, .integer, .number, .mark("("), .mark("["), .mark("{"): true
    default: false
    }
  }
}
