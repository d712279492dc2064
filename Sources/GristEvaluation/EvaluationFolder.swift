import Foundation
import GristCore

/// The folder of an evaluation: a line for every question that was answered, so that one that was stopped goes on, and at
/// the end its results.
final class EvaluationFolder {
  let path: String
  /// Questions that were answered before.
  let answered: [EvaluatedQuestion]
  private let file: FileHandle

  /// The file that has a line a question.
  static func progress(in folder: String) -> String { joinPath(folder, "progress.jsonl") }

  private static let format = "gristmill-evaluation"

  /// - Parameters:
  ///   - path: created when it is not there.
  ///   - key: what two evaluations do not share whose answers may differ, by name.
  ///   - questions: how many there are.
  ///
  /// - Throws: 65 when the folder holds another evaluation, or one that was changed; 74 when it cannot be written.
  init(path: String, key: JSONObject, questions: Int) throws {
    self.path = path
    try createFolder(path)
    let progress = Self.progress(in: path)
    var heading = key
    heading["format"] = JSONValue(Self.format)
    let first = Array(JSONValue.object(heading).text(pretty: false).utf8) + [0x0a]
    var kept: [EvaluatedQuestion] = []
    var length = 0
    if fileKind(at: progress) == .file {
      for (number, line) in try JSONLines.wholeLines(path: progress).enumerated() {
        let json = try JSONLines.reader(line, path: progress, number: number + 1)
        if number == 0 {
          try Self.require(json.object, heading, file: progress)
        } else {
          kept.append(try EvaluatedQuestion(json, questions: questions))
        }
        length += line.count + 1
      }
      guard Set(kept.map(\.index)).count == kept.count else {
        throw GristError(
          .badData, "a question was answered twice", file: progress, advice: "remove the folder, or name another one")
      }
    }
    answered = kept
    do {
      if length == 0 { try Data(first).write(to: URL(fileURLWithPath: progress)) }
      file = try FileHandle(forWritingTo: URL(fileURLWithPath: progress))
      try file.truncate(atOffset: UInt64(max(length, length == 0 ? first.count : 0)))
      try file.seekToEnd()
    } catch {
      throw GristError(.inputOutput, "the folder cannot be written", file: progress, found: error.localizedDescription)
    }
  }

  private static func require(_ there: JSONObject, _ wanted: JSONObject, file: String) throws {
    guard let name = (wanted.names + there.names).first(where: { there[$0] != wanted[$0] }) else { return }
    throw GristError(
      .badData, "the folder holds another evaluation", file: file,
      found:
        "\(name) is \(there[name]?.text(pretty: false) ?? "missing"), not \(wanted[name]?.text(pretty: false) ?? "there")",
      advice: "name another folder, or remove this one")
  }

  func append(_ question: EvaluatedQuestion) throws {
    do { try file.write(contentsOf: Data(question.json.text(pretty: false).utf8) + [0x0a]) } catch {
      throw GristError(
        .inputOutput, "the folder cannot be written", file: path, found: error.localizedDescription,
        advice: "make room and run it again: it goes on")
    }
  }

  /// Writes one of the results, whole or not at all.
  func write(_ name: String, _ text: String) throws {
    try AtomicFile(path: joinPath(path, name), forces: true).finish(with: Bytes(Array(text.utf8)))
  }
}
