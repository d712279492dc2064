import GristCore
import GristModel

/// The folder of an evaluation: a line for every question that was answered, so that one that was stopped goes on, and at
/// the end its results.
final class EvaluationFolder {
  let path: String
  /// Questions that were answered before.
  let answered: [EvaluatedQuestion]
  private let log: QuestionLog

  /// The file that has a line a question.
  static func progress(in folder: String) -> String { joinPath(folder, "progress.jsonl") }

  /// What it holds, for messages.
  static let content = "evaluation"

  /// - Parameters:
  ///   - path: created when it is not there.
  ///   - key: what two evaluations do not share whose answers may differ, by name.
  ///   - questions: how many there are.
  ///
  /// - Throws: 65 when the folder holds another evaluation, or one that was changed; 74 when it cannot be written.
  init(path: String, key: JSONObject, questions: Int) throws {
    self.path = path
    try createFolder(path)
    var heading = key
    heading["format"] = "gristmill-evaluation"
    log = try QuestionLog(
      path: Self.progress(in: path), heading: heading, questions: questions, what: Self.content)
    answered = try log.entries.map { try EvaluatedQuestion($0, questions: questions) }
  }

  func append(_ question: EvaluatedQuestion) throws { try log.append(question.json) }

  /// Writes one of the results, whole or not at all.
  func write(_ name: String, _ text: String) throws {
    try AtomicFile(path: joinPath(path, name), forces: true).finish(with: Bytes(Array(text.utf8)))
  }
}
