/// Renders statements: Jinja's scopes, Python's values, and a bound on steps, depth and text.
final class TemplateRenderer {
  /// Names that statements see. A loop's body, a macro and `with` have one of their own.
  final class Scope {
    var values: [String: TemplateValue] = [:]
    let outer: Scope?

    init(_ outer: Scope?) { self.outer = outer }

    func value(_ name: String) -> TemplateValue? {
      var scope: Scope? = self
      while let now = scope {
        if let value = now.values[name] { return value }
        scope = now.outer
      }
      return nil
    }
  }

  enum Flow { case goesOn, leavesLoop, takesNext }

  private let limits: ChatProgram.Limits
  private var stepsLeft: Int
  private var depth = 0
  private(set) var output = Text("")
  /// Of what is being written: the text, or a block whose text becomes a value.
  private var written = 0
  let clock: ChatProgram.Clock?

  init(limits: ChatProgram.Limits, clock: ChatProgram.Clock?) {
    self.limits = limits
    self.clock = clock
    stepsLeft = limits.steps
  }

  /// Renders a whole template.
  func render(_ statements: [TemplateStatement], _ names: [String: TemplateValue]) throws -> Text {
    let globals = Scope(nil)
    globals.values = TemplateGlobals.all(clock)
    let given = Scope(globals)
    given.values = names
    _ = try run(statements, Scope(given))
    return output
  }

  // MARK: bounds

  /// Counts work of some size.
  func spend(_ steps: Int = 1, _ place: TemplatePlace? = nil) throws {
    let (left, overflow) = stepsLeft.subtractingReportingOverflow(max(steps, 0))
    guard !overflow, left >= 0 else { throw TemplateError("the template takes more than \(limits.steps) steps", place) }
    stepsLeft = left
  }

  /// A text whose length was work.
  func spending(_ text: Text) throws -> Text {
    try spend(text.count)
    return text
  }

  private func deeper<Result>(_ place: TemplatePlace?, _ body: () throws -> Result) throws -> Result {
    guard depth < limits.depth else { throw TemplateError("calls deeper than \(limits.depth) levels", place) }
    depth += 1
    defer { depth -= 1 }
    return try body()
  }

  private func write(_ text: Text) throws {
    try spend(text.count)
    written += text.count
    guard written <= limits.output else {
      throw TemplateError("the text becomes longer than \(limits.output) characters")
    }
    output.scalars += text.scalars
  }

  /// The text that `body` writes.
  private func captured(_ body: () throws -> Void) throws -> Text {
    let outer = output
    output = ""
    defer { output = outer }
    try body()
    return output
  }

  // MARK: statements

  @discardableResult
  private func run(_ statements: [TemplateStatement], _ scope: Scope) throws -> Flow {
    for statement in statements {
      try spend()
      let flow = try run(statement, scope)
      if flow != .goesOn { return flow }
    }
    return .goesOn
  }

  private func run(_ statement: TemplateStatement, _ scope: Scope) throws -> Flow {
    switch statement {
    case .text(let text): try write(text)
    case .print(let expression, let place): try located(place) { try write(evaluate(expression, scope).text) }
    case .condition(let cases, let otherwise):
      for (test, body) in cases where try evaluate(test, scope).isTrue { return try run(body, scope) }
      return try run(otherwise, scope)
    case .loop(let target, let items, let test, let body, let otherwise, let isRecursive, let place):
      try loop(
        target, evaluate(items, scope), test, body, otherwise, isRecursive: isRecursive, scope, level: 0, place)
    case .assign(let target, let value, let place):
      try located(place) { try assign(target, evaluate(value, scope), scope) }
    case .assignBlock(let target, let filter, let body, let place):
      let text = try captured { try run(body, Scope(scope)) }
      var value = TemplateValue.string(text)
      if let filter { value = try self.filter(filter, .string(text), scope) }
      try located(place) { try assign(target, value, scope) }
    case .macro(let name, let signature, let body, let place):
      scope.values[name] = .callable(macro(name, signature, body, scope, place))
    case .callBlock(let signature, let call, let body, let place):
      guard case .call(let callee, let syntax, _) = call else { return .goesOn }
      var arguments = try self.arguments(syntax, scope)
      arguments.named.append(("caller", .callable(macro("caller", signature, body, scope, place))))
      let value = try self.call(evaluate(callee, scope), arguments, place)
      try write(value.text)
    case .filterBlock(let filter, let body, let place):
      let text = try captured { try run(body, Scope(scope)) }
      try located(place) { try write(self.filter(filter, .string(text), scope).text) }
    case .with(let values, let body, let place):
      let inner = Scope(scope)
      for (target, value) in values { try located(place) { try assign(target, evaluate(value, scope), inner) } }
      return try run(body, inner)
    case .generation(let body): return try run(body, Scope(scope))
    case .leaveLoop: return .leavesLoop
    case .nextIteration: return .takesNext
    }
    return .goesOn
  }

  private func loop(
    _ target: TemplateTarget, _ iterated: TemplateValue, _ test: TemplateExpression?, _ body: [TemplateStatement],
    _ otherwise: [TemplateStatement], isRecursive: Bool, _ scope: Scope, level: Int, _ place: TemplatePlace
  ) throws {
    guard var items = iterated.items else {
      throw TemplateError("'\(iterated.typeName)' object is not iterable", place)
    }
    try spend(items.count, place)
    if let test {
      items = try items.filter { item in
        let inner = Scope(scope)
        try located(place) { try assign(target, item, inner) }
        return try evaluate(test, inner).isTrue
      }
    }
    guard !items.isEmpty else {
      try run(otherwise, Scope(scope))
      return
    }
    let state = TemplateLoop(items: items, depth: level)
    if isRecursive {
      state.again = { [unowned self] arguments in
        guard let first = arguments.first else { throw TemplateError("loop() wants what to go through", place) }
        return .string(
          try self.captured {
            try self.deeper(place) {
              try self.loop(target, first, test, body, otherwise, isRecursive: true, scope, level: level + 1, place)
            }
          })
      }
    }
    for (index, item) in items.enumerated() {
      try spend(1, place)
      state.index = index
      let inner = Scope(scope)
      inner.values["loop"] = .loop(state)
      try located(place) { try assign(target, item, inner) }
      if try run(body, inner) == .leavesLoop { break }
    }
  }

  private func assign(_ target: TemplateTarget, _ value: TemplateValue, _ scope: Scope) throws {
    switch target {
    case .name(let name): scope.values[name] = value
    case .member(let name, let member, let place):
      guard case .namespace(let namespace)? = scope.value(name) else {
        throw TemplateError("cannot assign attribute on non-namespace object", place)
      }
      namespace.members.set(member, value)
    case .tuple(let targets):
      guard let items = value.items else { throw TemplateError("cannot unpack non-iterable \(value.typeName) object") }
      guard items.count == targets.count else {
        throw TemplateError(
          items.count < targets.count
            ? "not enough values to unpack (expected \(targets.count), got \(items.count))"
            : "too many values to unpack (expected \(targets.count))")
      }
      for (target, item) in zip(targets, items) { try assign(target, item, scope) }
    }
  }

  private func macro(
    _ name: String, _ signature: TemplateSignature, _ body: [TemplateStatement], _ scope: Scope, _ place: TemplatePlace
  ) -> TemplateCallable {
    let attributes: [String: TemplateValue] = [
      "name": .string(Text(name)), "arguments": .tuple(signature.names.map { .string(Text($0)) }),
    ]
    return TemplateCallable(name, attributes: attributes) { [unowned self] arguments in
      try self.deeper(place) {
        let inner = Scope(scope)
        let usesCaller = arguments.named.contains { $0.name == "caller" }
        let takesMore = Self.mentions(body, "varargs")
        guard arguments.positional.count <= signature.names.count || takesMore else {
          throw TemplateError("macro '\(name)' takes not more than \(signature.names.count) argument(s)", place)
        }
        let firstDefault = signature.names.count - signature.defaults.count
        for (index, parameter) in signature.names.enumerated() {
          if let value = arguments.value(index, parameter) {
            inner.values[parameter] = value
          } else if index >= firstDefault {
            inner.values[parameter] = try self.evaluate(signature.defaults[index - firstDefault], inner)
          } else {
            inner.values[parameter] = .undefined("parameter '\(parameter)' was not provided")
          }
        }
        var more = TemplateDictionary()
        for (key, value) in arguments.named where !signature.names.contains(key) && key != "caller" {
          more.set(key, value)
        }
        if more.count > 0, !Self.mentions(body, "kwargs"), let first = more.keys.first {
          throw TemplateError("macro '\(name)' takes no keyword argument '\(first.text.string)'", place)
        }
        inner.values["varargs"] = .tuple(Array(arguments.positional.dropFirst(signature.names.count)))
        inner.values["kwargs"] = .dictionary(more)
        inner.values["caller"] =
          usesCaller ? arguments.value(-1, "caller") : .undefined("No caller defined")
        return .string(try self.captured { try self.run(body, inner) })
      }
    }
  }

  /// Whether a body names something anywhere: macros take more arguments only where they use them.
  private static func mentions(_ body: [TemplateStatement], _ name: String) -> Bool {
    // The description of a syntax tree names all of it; bodies of macros are short.
    String(describing: body).contains("name(\"\(name)\"")
  }

  // MARK: expressions

  /// Runs `body`; errors without a place get this one.
  func located<Result>(_ place: TemplatePlace, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch var error as TemplateError {
      error.place = error.place ?? place
      throw error
    }
  }

  func evaluate(_ expression: TemplateExpression, _ scope: Scope) throws -> TemplateValue {
    try spend()
    switch expression {
    case .constant(let value): return value
    case .name(let name, _): return scope.value(name) ?? .undefined("'\(name)' is undefined")
    case .list(let items): return .list(try items.map { try evaluate($0, scope) })
    case .tuple(let items): return .tuple(try items.map { try evaluate($0, scope) })
    case .dictionary(let members, let place):
      var dictionary = TemplateDictionary()
      for (key, value) in members {
        let key = try evaluate(key, scope)
        guard let hashed = key.key else { throw TemplateError("unhashable type: '\(key.typeName)'", place) }
        dictionary.set(key, hashed, try evaluate(value, scope))
      }
      return .dictionary(dictionary)
    case .member(let object, let name, let place):
      let object = try evaluate(object, scope)
      return try located(place) { try member(of: object, name) }
    case .item(let object, let index, let place):
      let (object, index) = (try evaluate(object, scope), try evaluate(index, scope))
      return try located(place) { try item(of: object, index) }
    case .slice(let object, let start, let stop, let step, let place):
      let object = try evaluate(object, scope)
      let bounds = try [start, stop, step].map { try $0.map { try evaluate($0, scope) } }
      return try located(place) { try slice(object, bounds[0], bounds[1], bounds[2]) }
    case .call(let callee, let syntax, let place):
      let callee = try evaluate(callee, scope)
      return try call(callee, arguments(syntax, scope), place)
    case .filter(let subject, _, _, _):
      return try filter(expression, subject.map { try evaluate($0, scope) } ?? .none, scope, isInner: true)
    case .test(let subject, let name, let syntax, let place):
      let (subject, arguments) = (try evaluate(subject, scope), try arguments(syntax, scope))
      return .bool(try located(place) { try test(name, subject, arguments) })
    case .not(let operand): return .bool(try !evaluate(operand, scope).isTrue)
    case .sign(let operand, let isNegative, let place):
      let value = try evaluate(operand, scope)
      return try located(place) { try isNegative ? arithmetic("-", .integer(0), value, isSign: true) : positive(value) }
    case .binary(let left, let mark, let right, let place):
      let (left, right) = (try evaluate(left, scope), try evaluate(right, scope))
      return try located(place) { try arithmetic(mark, left, right) }
    case .comparison(let first, let rest, let place):
      var left = try evaluate(first, scope)
      for (mark, operand) in rest {
        let right = try evaluate(operand, scope)
        guard try located(place, { try compare(left, mark, right) }) else { return .bool(false) }
        left = right
      }
      return .bool(true)
    case .and(let left, let right):
      let value = try evaluate(left, scope)
      return value.isTrue ? try evaluate(right, scope) : value
    case .or(let left, let right):
      let value = try evaluate(left, scope)
      return value.isTrue ? value : try evaluate(right, scope)
    case .concatenation(let parts):
      let text = Text(try parts.flatMap { try evaluate($0, scope).text.scalars })
      try spend(text.count)
      return .string(text)
    case .condition(let test, let then, let otherwise):
      if try evaluate(test, scope).isTrue { return try evaluate(then, scope) }
      return try otherwise.map { try evaluate($0, scope) }
        ?? .undefined("the inline if-expression evaluated to false and no else section was defined")
    }
  }

  private func filter(
    _ expression: TemplateExpression, _ value: TemplateValue, _ scope: Scope, isInner: Bool = false
  ) throws -> TemplateValue {
    guard case .filter(let subject, let name, let syntax, let place) = expression else { return value }
    // Filters of a block begin with the block's text, others with their own subject.
    var value = value
    if !isInner, let subject { value = try filter(subject, value, scope) }
    let arguments = try arguments(syntax, scope)
    return try located(place) { try filtered(name, value, arguments) }
  }

  private func arguments(_ syntax: TemplateCallSyntax, _ scope: Scope) throws -> TemplateArguments {
    var arguments = TemplateArguments()
    arguments.positional = try syntax.positional.map { try evaluate($0, scope) }
    arguments.named = try syntax.named.map { ($0.name, try evaluate($0.value, scope)) }
    if let list = syntax.spreadList {
      let value = try evaluate(list, scope)
      guard let items = value.items else { throw TemplateError("'\(value.typeName)' object is not iterable") }
      arguments.positional += items
    }
    if let names = syntax.spreadNames {
      guard case .dictionary(let dictionary) = try evaluate(names, scope) else {
        throw TemplateError("argument after ** must be a mapping")
      }
      arguments.named += zip(dictionary.keys, dictionary.values).map { ($0.text.string, $1) }
    }
    return arguments
  }

  func call(_ callee: TemplateValue, _ arguments: TemplateArguments, _ place: TemplatePlace) throws -> TemplateValue {
    try located(place) {
      switch callee {
      case .callable(let callable): return try callable.call(arguments)
      case .loop(let loop):
        guard let again = loop.again else { throw TemplateError("the loop is not recursive") }
        return try again(arguments.positional)
      case .undefined(let what): throw TemplateError(what)
      default: throw TemplateError("'\(callee.typeName)' object is not callable")
      }
    }
  }
}
