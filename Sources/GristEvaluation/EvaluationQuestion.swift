import Foundation
import GristCore
import GristModel
import GristSources

/// A question of an evaluation, and what would be right.
public struct EvaluationQuestion: Sendable {
  /// As the file has it: a number or a text.
  public let id: JSONValue
  public let question: Question
  /// Nil where the file names none.
  public let category: String?
  /// Every answer that somebody gave; empty where the file brings none.
  public let answers: [String]

  /// Reads questions as LLaVA's evaluation scripts take them, an object a line: `question_id`, `text`, `image` and
  /// `category`, which may be missing; or a list of probes. Answers stand beside them as `answer`, a text, or `answers`,
  /// a list. Probes' ids are their places in the list.
  ///
  /// - Parameters:
  ///   - path: of the file.
  ///   - folder: that pictures' names are relative to; nil for the file's own.
  ///
  /// - Throws: 66 for a missing file or picture, 65 for a file of another form, and for a question that comes twice.
  public static func read(path: String, images folder: String? = nil) throws -> [EvaluationQuestion] {
    let text = try readFile(path, limit: 1 << 30)
    // A list of probes begins with a bracket, a line of LLaVA's with a brace.
    if text.array.first(where: { !" \t\r\n".utf8.contains($0) }) == UInt8(ascii: "[") {
      return try Question.read(path: path).enumerated().map { index, question in
        EvaluationQuestion(
          id: JSONValue(index), question: question, category: nil, answers: question.answer.map { [$0] } ?? [])
      }
    }
    let folder = folder ?? folderName(of: path)
    var (questions, ids, pictures) = ([EvaluationQuestion](), Set<String>(), [String: Bytes]())
    for (index, line) in text.array.split(separator: 0x0a).enumerated() {
      guard line.contains(where: { !" \t\r".utf8.contains($0) }) else { continue }
      let json = try JSONLines.reader(line, path: path, number: index + 1)
      let question = try EvaluationQuestion(json, folder: folder, &pictures)
      // MME's two questions about a picture have one id.
      guard ids.insert(question.id.text() + "\n" + question.question.prompt).inserted else {
        throw GristError(
          .badData, "a question comes twice, of one id and text", file: json.file, found: question.id.text())
      }
      questions.append(question)
    }
    guard !questions.isEmpty else { throw GristError(.badData, "there are no questions", file: path) }
    return questions
  }

  private init(_ json: JSONReader, folder: String, _ pictures: inout [String: Bytes]) throws {
    guard let id = json.value("question_id"), id.string != nil || id.integer != nil else {
      throw json.failure("question_id", "a number or a text")
    }
    self.id = id
    let image = json.has("image") ? try json.string("image") : nil
    let picture = try image.map { name in
      let path = name.hasPrefix("/") ? name : joinPath(folder, name)
      // Mapped: a benchmark has thousands.
      let bytes = try pictures[path] ?? MappedFile(path: path).bytes
      pictures[path] = bytes
      return Question.Picture(name: name, bytes: bytes)
    }
    var text = try json.string("text")
    // Upstream's own files have the placeholder in the text, or leave it out: it comes first either way.
    for start in [Conversation.imagePlaceholder + "\n", Conversation.imagePlaceholder] where text.hasPrefix(start) {
      text = String(text.dropFirst(start.count))
      break
    }
    guard !text.contains(bytesOf: Conversation.imagePlaceholder) else {
      throw json.failure("text", "a text that names \(Conversation.imagePlaceholder) at its beginning or not at all")
    }
    question = Question(pictures: picture.map { [$0] } ?? [], prompt: text)
    category = json.has("category") ? try json.string("category") : nil
    answers =
      json.has("answers")
      ? try json.strings("answers") : json.has("answer") ? [try json.string("answer")] : []
  }

  private init(id: JSONValue, question: Question, category: String?, answers: [String]) {
    (self.id, self.question, self.category, self.answers) = (id, question, category, answers)
  }
}
