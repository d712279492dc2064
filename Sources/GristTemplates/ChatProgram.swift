import GristCore

/// A chat template: a program that makes one text of a conversation, in Jinja's language as transformers runs it.
///
/// Transformers renders with Jinja's `ImmutableSandboxedEnvironment`, `trim_blocks`, `lstrip_blocks`, loop controls,
/// and functions of its own (`raise_exception`, `strftime_now`, a plain `tojson`, `{% generation %}`). So does this,
/// without Jinja: a template comes with a checkpoint that anybody may have written. It reaches no file and no clock but
/// the one it is given, and its steps, depth and text are bounded.
public struct ChatProgram: Sendable {
  /// How much a rendering may cost.
  public struct Limits: Sendable {
    /// Statements, expressions and characters that are worked on.
    public var steps: Int
    /// Macros and recursive loops inside of each other.
    public var depth: Int
    /// Characters of the text.
    public var output: Int

    public init(steps: Int = 50_000_000, depth: Int = 64, output: Int = 16_777_216) {
      (self.steps, self.depth, self.output) = (steps, depth, output)
    }
  }

  public let source: String
  private let statements: [TemplateStatement]
  private let file: String

  /// - Parameters:
  ///   - source: the template.
  ///   - file: where it stands, for messages.
  ///
  /// - Throws: 65 with line and column where it is no template.
  public init(_ source: String, file: String) throws {
    self.source = source
    self.file = file
    do {
      statements = try TemplateParser.statements(of: source)
    } catch let error as TemplateError {
      throw Self.error(error, file)
    }
  }

  /// The text of a conversation.
  ///
  /// - Parameters:
  ///   - names: what the template sees: `messages`, `add_generation_prompt`, `bos_token` and the like.
  ///   - clock: what `strftime_now` tells; nil refuses to tell.
  ///   - limits: what it may cost.
  ///
  /// - Throws: 65 with line and column for what the template does wrong, refuses itself, or takes too much for.
  public func render(_ names: JSONObject, clock: Clock? = nil, limits: Limits = Limits()) throws -> String {
    let renderer = TemplateRenderer(limits: limits, clock: clock)
    do {
      var values: [String: TemplateValue] = [:]
      for (name, value) in names.members { values[name] = TemplateValue(value) }
      return try renderer.render(statements, values).string
    } catch let error as TemplateError {
      throw Self.error(error, file)
    }
  }

  private static func error(_ error: TemplateError, _ file: String) -> GristError {
    let place = error.place.map { " (line \($0.line), column \($0.column))" } ?? ""
    return GristError(
      .badData,
      (error.isRaised ? "the chat template refuses the conversation" : "the chat template cannot be rendered") + place,
      file: file, found: error.what, advice: "pass another template with --template, or none with --raw")
  }
}

extension TemplateValue {
  init(_ json: JSONValue) {
    switch json {
    case .null: self = .none
    case .bool(let value): self = .bool(value)
    case .integer(let value): self = Int(exactly: value).map { .integer($0) } ?? .number(Double(value))
    case .number(let value): self = .number(value)
    case .string(let text): self = .string(Text(text))
    case .array(let items): self = .list(items.map { TemplateValue($0) })
    case .object(let object):
      var dictionary = TemplateDictionary()
      for (name, value) in object.members { dictionary.set(name, TemplateValue(value)) }
      self = .dictionary(dictionary)
    }
  }
}
