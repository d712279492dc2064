import GristCore
import GristModel

/// Joins the folders of an evaluation's parts to one that has every answer. The evaluation's own command then finds nothing
/// left to ask, and writes the figures of all.
public enum EvaluationParts {
  /// Whether there is an evaluation's folder at `path`.
  public static func isFolder(at path: String) -> Bool { fileKind(at: EvaluationFolder.progress(in: path)) == .file }

  /// - Parameters:
  ///   - folders: of the parts, in any order.
  ///   - output: a folder that is not there yet.
  ///
  /// - Returns: How many questions were answered in all.
  /// - Throws: 65 for folders of different evaluations and for a question that was answered twice, 64 when the output is
  ///   there already.
  public static func merge(_ folders: [String], into output: String) throws -> Int {
    try QuestionLog.requireNothing(at: output)
    let joined = try QuestionLog.joined(
      folders.map(EvaluationFolder.progress), what: EvaluationFolder.content)
    try createFolder(output)
    try AtomicFile(path: EvaluationFolder.progress(in: output), forces: true).finish(with: joined.text)
    return joined.entries.count
  }
}
