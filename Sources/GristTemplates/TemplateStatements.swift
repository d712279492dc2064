// What a template's tags say: Jinja's statements (`jinja2/parser.py`).

extension TemplateParser {
  /// Statements up to a tag of one of these names, which is left; with none, up to the end.
  mutating func statements(until names: Set<String>) throws -> [TemplateStatement] {
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
  mutating func endTag() throws {
    guard token == .blockEnd else { throw unexpected("\"%}\"") }
    advance()
  }

  /// The name of a tag that a body ended with; goes behind the name.
  mutating func closing() throws -> String {
    advance()
    return try expectName()
  }

  /// The statements of a body that a tag of this name ends.
  mutating func body(until name: String) throws -> [TemplateStatement] {
    try endTag()
    let body = try statements(until: [name])
    _ = try closing()
    try endTag()
    return body
  }

  mutating func statement() throws -> TemplateStatement {
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

  mutating func outsideLoops<Result>(_ body: (inout TemplateParser) throws -> Result) throws -> Result {
    let outer = loops
    loops = 0
    defer { loops = outer }
    return try body(&self)
  }

  mutating func condition() throws -> TemplateStatement {
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

  mutating func loop(_ place: TemplatePlace) throws -> TemplateStatement {
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

  mutating func assignment(_ place: TemplatePlace) throws -> TemplateStatement {
    let target = try assignmentTarget(withMembers: true)
    if skip("=") {
      let value = try tuple(withCondition: true)
      try endTag()
      return .assign(target, value, place)
    }
    let filter = isMark("|") ? try filters(nil, isFirst: false) : nil
    return .assignBlock(target, filter: filter, body: try body(until: "endset"), place)
  }

  mutating func assignmentTarget(withMembers: Bool) throws -> TemplateTarget {
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

  mutating func signature() throws -> TemplateSignature {
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
}
