/// An expression of a template, with the place where it begins.
indirect enum TemplateExpression: Sendable {
  case constant(TemplateValue)
  case name(String, TemplatePlace)
  case list([TemplateExpression])
  case tuple([TemplateExpression])
  case dictionary([(key: TemplateExpression, value: TemplateExpression)], TemplatePlace)
  case member(TemplateExpression, String, TemplatePlace)
  case item(TemplateExpression, TemplateExpression, TemplatePlace)
  case slice(
    TemplateExpression, start: TemplateExpression?, stop: TemplateExpression?, step: TemplateExpression?, TemplatePlace)
  case call(TemplateExpression, TemplateCallSyntax, TemplatePlace)
  case filter(TemplateExpression?, String, TemplateCallSyntax, TemplatePlace)
  case test(TemplateExpression, String, TemplateCallSyntax, TemplatePlace)
  case not(TemplateExpression)
  case sign(TemplateExpression, isNegative: Bool, TemplatePlace)
  case binary(TemplateExpression, String, TemplateExpression, TemplatePlace)
  /// Compared with each other in a row: `a < b <= c`.
  case comparison(TemplateExpression, [(mark: String, operand: TemplateExpression)], TemplatePlace)
  case and(TemplateExpression, TemplateExpression)
  case or(TemplateExpression, TemplateExpression)
  case concatenation([TemplateExpression])
  case condition(TemplateExpression, then: TemplateExpression, otherwise: TemplateExpression?)
}

/// Arguments as they are written.
struct TemplateCallSyntax: Sendable {
  var positional: [TemplateExpression] = []
  var named: [(name: String, value: TemplateExpression)] = []
  var spreadList: TemplateExpression?
  var spreadNames: TemplateExpression?
}

/// What an assignment gives values to.
indirect enum TemplateTarget: Sendable {
  case name(String)
  case member(String, String, TemplatePlace)
  case tuple([TemplateTarget])
}

/// Parameters of a macro, the last ones with defaults.
struct TemplateSignature: Sendable {
  var names: [String] = []
  var defaults: [TemplateExpression] = []
}

indirect enum TemplateStatement: Sendable {
  case text(Text)
  case print(TemplateExpression, TemplatePlace)
  case condition([(test: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement])
  case loop(
    TemplateTarget, over: TemplateExpression, where: TemplateExpression?, body: [TemplateStatement],
    otherwise: [TemplateStatement], isRecursive: Bool, TemplatePlace)
  case assign(TemplateTarget, TemplateExpression, TemplatePlace)
  case assignBlock(TemplateTarget, filter: TemplateExpression?, body: [TemplateStatement], TemplatePlace)
  case macro(String, TemplateSignature, [TemplateStatement], TemplatePlace)
  case callBlock(TemplateSignature, TemplateExpression, [TemplateStatement], TemplatePlace)
  case filterBlock(TemplateExpression, [TemplateStatement], TemplatePlace)
  case with([(target: TemplateTarget, value: TemplateExpression)], [TemplateStatement], TemplatePlace)
  /// A part that a trainer masks: rendered like any other.
  case generation([TemplateStatement])
  case leaveLoop, nextIteration
}
