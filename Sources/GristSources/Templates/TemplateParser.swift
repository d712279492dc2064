/// Makes statements of tokens, by the grammar of Jinja 3.1.
struct TemplateParser {
  private let tokens: [(token: TemplateToken, place: TemplatePlace)]
  private var position = 0
  private var depth = 0
  /// Whether a loop is around here, which `break` and `continue` want.
  private var loops = 0
  private static let greatestDepth = 100

  static func statements(of template: String) throws -> [TemplateStatement] {
    var parser = TemplateParser(tokens: try TemplateLexer.tokens(of: template))
    let statements = try parser.statements(until: [])
    guard parser.token == .end else { throw parser.unexpected() }
    return statements
  }

  private init(tokens: [(token: TemplateToken, place: TemplatePlace)]) { self.tokens = tokens }

  // MARK: tokens

  private var token: TemplateToken { tokens[position].token }
  private var next: TemplateToken { position + 1 < tokens.count ? tokens[position + 1].token : .end }
  private var place: TemplatePlace { tokens[position].place }

  private mutating func advance() { if position < tokens.count - 1 { position += 1 } }

  private func isMark(_ mark: String) -> Bool { token == .mark(mark) }
  private func isName(_ name: String) -> Bool { token == .name(name) }

  private mutating func skip(_ mark: String) -> Bool {
    guard isMark(mark) else { return false }
    advance()
    return true
  }

  private mutating func skipName(_ name: String) -> Bool {
    guard isName(name) else { return false }
    advance()
    return true
  }

  private mutating func expect(_ mark: String) throws { guard skip(mark) else { throw unexpected("\"\(mark)\"") } }

  private mutating func expectName() throws -> String {
    guard case .name(let name) = token else { throw unexpected("a name") }
    advance()
    return name
  }

  private func unexpected(_ wanted: String? = nil) -> TemplateError {
    let found =
      switch token {
      case .text: "text"
      case .variableBegin: "\"{{\""
      case .variableEnd: "\"}}\""
      case .blockBegin: "\"{%\""
      case .blockEnd: "\"%}\""
      case .name(let name): "\"\(name)\""
      case .string: "a string"
      case .integer, .number: "a number"
      case .mark(let mark): "\"\(mark)\""
      case .end: "the end"
      }
    return TemplateError("unexpected \(found)" + (wanted.map { ", where \($0) was expected" } ?? ""), place)
  }

  private mutating func nested<Result>(_ body: (inout TemplateParser) throws -> Result) throws -> Result {
    guard depth < Self.greatestDepth else {
      throw TemplateError("nested deeper than \(Self.greatestDepth) levels", place)
    }
    depth += 1
    defer { depth -= 1 }
    return try body(&self)
  }

  // MARK: statements

  /// Statements up to a tag of one of these names, which is left; with none, up to the end.
  private mutating func statements(until names: Set<String>) throws -> [TemplateStatement] {
    try nested { parser in
      var statements: [TemplateStatement] = []
      while true {
        switch parser.token {
        case .text(let text):
          statements.append(.text(text))
          parser.advance()
        case .variableBegin:
          let place = parser.place
          parser.advance()
          statements.append(.print(try parser.tuple(withCondition: true), place))
          guard parser.token == .variableEnd else { throw parser.unexpected("\"}}\"") }
          parser.advance()
        case .blockBegin:
          if case .name(let name) = parser.next, names.contains(name) { return statements }
          parser.advance()
          statements.append(try parser.statement())
        case .end:
          guard names.isEmpty else {
            throw TemplateError(
              "the template ends where \(names.sorted().joined(separator: " or ")) was expected", parser.place)
          }
          return statements
        default: throw parser.unexpected()
        }
      }
    }
  }

  /// Ends a tag.
  private mutating func endTag() throws {
    guard token == .blockEnd else { throw unexpected("\"%}\"") }
    advance()
  }

  /// The name of a tag that a body ended with; goes behind the name.
  private mutating func closing() throws -> String {
    advance()
    return try expectName()
  }

  /// The statements of a body that a tag of this name ends.
  private mutating func body(until name: String) throws -> [TemplateStatement] {
    try endTag()
    let body = try statements(until: [name])
    _ = try closing()
    try endTag()
    return body
  }

  private mutating func statement() throws -> TemplateStatement {
    let place = place
    let name = try expectName()
    switch name {
    case "if": return try condition()
    case "for": return try loop(place)
    case "set": return try assignment(place)
    case "macro":
      let name = try expectName()
      let signature = try signature()
      return .macro(name, signature, try outsideLoops { try $0.body(until: "endmacro") }, place)
    case "call":
      let signature = isMark("(") ? try signature() : TemplateSignature()
      let call = try expression()
      guard case .call = call else { throw TemplateError("call wants a call", place) }
      return .callBlock(signature, call, try outsideLoops { try $0.body(until: "endcall") }, place)
    case "filter":
      guard let filter = try filters(nil, isFirst: true) else { throw unexpected("a filter") }
      return .filterBlock(filter, try body(until: "endfilter"), place)
    case "with":
      var values: [(TemplateTarget, TemplateExpression)] = []
      while token != .blockEnd {
        if !values.isEmpty { try expect(",") }
        let target = try assignmentTarget(withMembers: false)
        try expect("=")
        values.append((target, try expression()))
      }
      return .with(values.map { ($0.0, $0.1) }, try body(until: "endwith"), place)
    case "generation": return .generation(try body(until: "endgeneration"))
    case "break", "continue":
      guard loops > 0 else { throw TemplateError("\(name) outside of a loop", place) }
      try endTag()
      return name == "break" ? .leaveLoop : .nextIteration
    default: throw TemplateError("a tag that chat templates have no use for: \"\(name)\"", place)
    }
  }

  private mutating func outsideLoops<Result>(_ body: (inout TemplateParser) throws -> Result) throws -> Result {
    let outer = loops
    loops = 0
    defer { loops = outer }
    return try body(&self)
  }

  private mutating func condition() throws -> TemplateStatement {
    var cases: [(TemplateExpression, [TemplateStatement])] = []
    while true {
      let test = try tuple(withCondition: false)
      try endTag()
      cases.append((test, try statements(until: ["elif", "else", "endif"])))
      switch try closing() {
      case "elif": continue
      case "else":
        let otherwise = try body(until: "endif")
        return .condition(cases.map { ($0.0, $0.1) }, otherwise: otherwise)
      default:
        try endTag()
        return .condition(cases.map { ($0.0, $0.1) }, otherwise: [])
      }
    }
  }

  private mutating func loop(_ place: TemplatePlace) throws -> TemplateStatement {
    let target = try assignmentTarget(withMembers: false)
    guard skipName("in") else { throw unexpected("\"in\"") }
    let items = try tuple(withCondition: false, endingWith: ["recursive"])
    let test = skipName("if") ? try expression() : nil
    let isRecursive = skipName("recursive")
    try endTag()
    loops += 1
    let body = try statements(until: ["else", "endfor"])
    loops -= 1
    var otherwise: [TemplateStatement] = []
    if try closing() == "else" { otherwise = try self.body(until: "endfor") } else { try endTag() }
    return .loop(target, over: items, where: test, body: body, otherwise: otherwise, isRecursive: isRecursive, place)
  }

  private mutating func assignment(_ place: TemplatePlace) throws -> TemplateStatement {
    let target = try assignmentTarget(withMembers: true)
    if skip("=") {
      let value = try tuple(withCondition: true)
      try endTag()
      return .assign(target, value, place)
    }
    let filter = isMark("|") ? try filters(nil, isFirst: false) : nil
    return .assignBlock(target, filter: filter, body: try body(until: "endset"), place)
  }

  private mutating func assignmentTarget(withMembers: Bool) throws -> TemplateTarget {
    var targets: [TemplateTarget] = []
    var isTuple = false
    let parenthesised = skip("(")
    while true {
      if parenthesised && isMark(")") || isMark("=") || isName("in") || token == .blockEnd { break }
      let place = place
      if isMark("(") {
        targets.append(try nested { try $0.assignmentTarget(withMembers: false) })
      } else {
        let name = try expectName()
        guard !["true", "false", "none", "True", "False", "None"].contains(name) else {
          throw TemplateError("cannot assign to \"\(name)\"", place)
        }
        if withMembers, targets.isEmpty, skip(".") {
          return .member(name, try expectName(), place)
        }
        targets.append(.name(name))
      }
      guard skip(",") else { break }
      isTuple = true
    }
    if parenthesised { try expect(")") }
    guard let first = targets.first else { throw unexpected("a name") }
    return isTuple ? .tuple(targets) : first
  }

  private mutating func signature() throws -> TemplateSignature {
    var signature = TemplateSignature()
    try expect("(")
    while !isMark(")") {
      if !signature.names.isEmpty { try expect(",") }
      if isMark(")") { break }
      signature.names.append(try expectName())
      if skip("=") {
        signature.defaults.append(try expression())
      } else if !signature.defaults.isEmpty {
        throw TemplateError("a parameter without a default behind one that has one", place)
      }
    }
    try expect(")")
    return signature
  }

  // MARK: expressions

  /// Expressions with commas between them, or one.
  private mutating func tuple(
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

  private mutating func or() throws -> TemplateExpression {
    var left = try and()
    while skipName("or") { left = .or(left, try and()) }
    return left
  }

  private mutating func and() throws -> TemplateExpression {
    var left = try not()
    while skipName("and") { left = .and(left, try not()) }
    return left
  }

  private mutating func not() throws -> TemplateExpression {
    guard isName("not") else { return try comparison() }
    return try nested { parser in
      parser.advance()
      return .not(try parser.not())
    }
  }

  private mutating func comparison() throws -> TemplateExpression {
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

  private mutating func binary(
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

  private mutating func sum() throws -> TemplateExpression { try binary(["+", "-"]) { try $0.concatenation() } }

  private mutating func concatenation() throws -> TemplateExpression {
    var parts = [try product()]
    while skip("~") { parts.append(try product()) }
    return parts.count == 1 ? parts[0] : .concatenation(parts)
  }

  private mutating func product() throws -> TemplateExpression { try binary(["*", "/", "//", "%"]) { try $0.power() } }

  private mutating func power() throws -> TemplateExpression { try binary(["**"]) { try $0.unary(withFilters: true) } }

  private mutating func unary(withFilters: Bool) throws -> TemplateExpression {
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

  private mutating func primary() throws -> TemplateExpression {
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

  private mutating func postfix(_ given: TemplateExpression) throws -> TemplateExpression {
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

  private mutating func subscripted(_ value: TemplateExpression, _ place: TemplatePlace) throws -> TemplateExpression {
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

  private mutating func arguments() throws -> TemplateCallSyntax {
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

  private mutating func dottedName() throws -> String {
    var name = try expectName()
    while isMark("."), case .name(let part) = next {
      advance()
      advance()
      name += "." + part
    }
    return name
  }

  /// Filters in a row; `isFirst` where the first has no bar before it.
  private mutating func filters(_ given: TemplateExpression?, isFirst: Bool) throws -> TemplateExpression? {
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

  private mutating func filtersAndTests(_ given: TemplateExpression) throws -> TemplateExpression {
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

  private var startsTestArgument: Bool {
    switch token {
    case .name(let name): !["else", "or", "and"].contains(name)
    case .string, .integer, .number, .mark("("), .mark("["), .mark("{"): true
    default: false
    }
  }
}
