import GristCore
import GristEvaluation
import GristModel
import GristVerification

/// A question about a picture, and the answer that a model is to give best.
public struct TaughtQuestion: Sendable {
  public enum Answer: Sendable, Equatable {
    case text(String)
    case tokens([Int])
    /// What the model says itself.
    case own
  }

  /// Whose answers are taught.
  public enum Teacher: String, Sendable, CaseIterable {
    /// Those that questions bring.
    case given
    /// A reference's, of a record.
    case reference
    /// The model's own at the finest granularity.
    case own
  }

  public let question: Question
  public let answer: Answer

  public init(_ question: Question, answer: Answer) { (self.question, self.answer) = (question, answer) }

  /// Reads the questions of a file, as `EvaluationQuestion.read(path:images:)` does, or of a record.
  ///
  /// - Parameters:
  ///   - path: of the file.
  ///   - folder: that pictures' names are relative to; nil for the file's own.
  ///   - teacher: whose answers; nil for a record's, for those of a file that brings one with every question, and else the
  ///     model's own.
  ///
  /// - Throws: 66 for a missing file or picture, 65 for a file of another form, 64 where answers are asked for that it does
  ///   not bring, and for a question without a picture or with several.
  public static func read(
    path: String, images folder: String? = nil, teacher: Teacher? = nil
  ) throws -> (questions: [TaughtQuestion], teacher: Teacher) {
    let (questions, found) = try asked(path: path, images: folder, teacher)
    guard let wrong = questions.first(where: { $0.question.pictures.count != 1 }) else { return (questions, found) }
    throw GristError(
      .usage, "a router learns from questions about one picture each", file: path,
      found: "\(wrong.question.prompt.shortened()), \(wrong.question.pictures.count) pictures")
  }

  private static func asked(
    path: String, images folder: String?, _ teacher: Teacher?
  ) throws -> ([TaughtQuestion], Teacher) {
    if ReferenceRecord.isThere(at: path) {
      let record = try ReferenceRecord(path: path)
      guard teacher != .given else {
        throw GristError(.usage, "a record brings the reference's answers, not given ones", file: path)
      }
      return (
        record.cases.map { TaughtQuestion($0.question, answer: teacher == .own ? .own : .tokens($0.tokens)) },
        teacher ?? .reference
      )
    }
    let questions = try EvaluationQuestion.read(path: path, images: folder)
    let missing = questions.first { $0.answers.isEmpty }
    switch teacher {
    case .reference?:
      throw GristError(
        .usage, "a reference's answers are in a record", file: path,
        advice: "give a record as the questions: `gristmill record` makes one")
    case .given? where missing != nil:
      throw GristError(
        .usage, "a question brings no answer", file: path, found: "question \(missing?.id.text() ?? "")",
        advice: "give each an \"answer\", or take the model's own with --teacher own")
    case .given?,
      nil where missing == nil:
      return (questions.map { TaughtQuestion($0.question, answer: .text($0.answers.first ?? "")) }, .given)
    default: return (questions.map { TaughtQuestion($0.question, answer: .own) }, .own)
    }
  }
}
