import GristCore

/// What another model answered to the same questions: a file in the form that upstream's evaluation writes.
public struct ReferenceAnswers: Sendable {
  /// Of the file, for people.
  public let name: String
  /// By question's id; several where one id has several questions, as MME's have.
  private let answers: [String: [(prompt: String, text: String)]]

  /// - Parameter path: a line an answer, with `question_id` and `text`, and `prompt` where ids come several times.
  ///
  /// - Throws: 66 for a missing file, 65 for one of another form.
  public init(path: String) throws {
    name = fileName(of: path)
    var answers: [String: [(prompt: String, text: String)]] = [:]
    for (index, line) in try readFile(path, limit: 1 << 30).array.split(separator: 0x0a).enumerated() {
      let json = try JSONLines.reader(line, path: path, number: index + 1)
      guard let id = json.value("question_id") else { throw json.failure("question_id", "a number or a text") }
      answers[id.text(), default: []].append((try json.string("prompt", default: ""), try json.string("text")))
    }
    self.answers = answers
  }

  func text(of question: EvaluationQuestion) -> String? {
    let known = answers[question.id.text()] ?? []
    if known.count == 1 { return known[0].text }
    // Upstream's own prompts may begin with the picture's place.
    return known.last { $0.prompt == question.question.prompt || $0.prompt.hasSuffix("\n" + question.question.prompt) }?
      .text
  }

  /// - Throws: 65 naming a question that was not answered.
  func requireAll(of questions: [EvaluationQuestion]) throws {
    guard let missing = questions.first(where: { text(of: $0) == nil }) else { return }
    throw GristError(
      .badData, "the reference did not answer a question", file: name, found: "question \(missing.id.text())",
      advice: "compare with answers to the same questions")
  }
}
