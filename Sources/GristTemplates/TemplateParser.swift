/// Makes statements of tokens, by the grammar of Jinja 3.1.
struct TemplateParser {
  let tokens: [(token: TemplateToken, place: TemplatePlace)]
  var position = 0
  var depth = 0
  /// Whether a loop is around here, which `break` and `continue` want.
  var loops = 0
  static let greatestDepth = 100

  static func statements(of template: String) throws -> [TemplateStatement] {
    var parser = TemplateParser(tokens: try TemplateLexer.tokens(of: template))
    let statements = try parser.statements(until: [])
    guard parser.token == .end else { throw parser.unexpected() }
    return statements
  }

  init(tokens: [(token: TemplateToken, place: TemplatePlace)]) { self.tokens = tokens }

  var token: TemplateToken { tokens[position].token }
  var next: TemplateToken { position + 1 < tokens.count ? tokens[position + 1].token : .end }
  var place: TemplatePlace { tokens[position].place }

  mutating func advance() { if position < tokens.count - 1 { position += 1 } }

  func isMark(_ mark: String) -> Bool { token == .mark(mark) }
  func isName(_ name: String) -> Bool { token == .name(name) }

  mutating func skip(_ mark: String) -> Bool {
    guard isMark(mark) else { return false }
    advance()
    return true
  }

  mutating func skipName(_ name: String) -> Bool {
    guard isName(name) else { return false }
    advance()
    return true
  }

  mutating func expect(_ mark: String) throws { guard skip(mark) else { throw unexpected("\"\(mark)\"") } }

  mutating func expectName() throws -> String {
    guard case .name(let name) = token else { throw unexpected("a name") }
    advance()
    return name
  }

  func unexpected(_ wanted: String? = nil) -> TemplateError {
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

  mutating func nested<Result>(_ body: (inout TemplateParser) throws -> Result) throws -> Result {
    guard depth < Self.greatestDepth else {
      throw TemplateError("nested deeper than \(Self.greatestDepth) levels", place)
    }
    depth += 1
    defer { depth -= 1 }
    return try body(&self)
  }
}
