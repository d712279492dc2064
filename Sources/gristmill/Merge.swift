import ArgumentParser
import GristAlignment
import GristConversion
import GristCore
import GristEvaluation
import GristModel
import GristVerification

struct Merge: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Join what several runs with --part K/N gave: records, statistics, or folders of verify, evaluate or align.",
    discussion: """
      Each becomes what one run would have given, byte for byte. `gristmill evaluate`, given again with the joined folder as \
      --output, asks nothing and writes the figures of all; `gristmill align` with it as --feedback begins to train.
      """)

  @Argument(help: "The parts, in any order.")
  var parts: [String]

  @Option(name: .shortAndLong, help: ArgumentHelp("The record or folder to write.", valueName: "output"))
  var output: String

  @OptionGroup var outputs: OutputOptions
  @OptionGroup var global: GlobalOptions

  func run() throws {
    if try areAll("the folder of an evaluation", EvaluationParts.isFolder) {
      return try say(EvaluationParts.merge(parts, into: output), "answered questions")
    }
    if try areAll("a folder of feedback", FeedbackParts.isFolder) {
      return try say(FeedbackParts.merge(parts, into: output), "questions with feedback")
    }
    if try areAll("the folder of a verification", VerificationParts.isFolder) {
      return try say(VerificationParts.merge(parts, into: output), "cases compared")
    }
    if try areAll("a file of statistics", InputStatistics.isThere) {
      let merged = try InputStatistics.merged(
        parts.map { (statistics: try InputStatistics(path: $0), path: $0) })
      try outputs.file(output, .statistics).finish(with: merged.encoded())
      return try say(merged.matrices.count, "matrices")
    }
    let records = try parts.map { (record: try ReferenceRecord(path: $0), path: $0) }
    let merged = try ReferenceRecord.merged(records)
    try outputs.file(output, .record).finish(with: merged.encoded())
    try say(merged.cases.count, "cases")
  }

  /// Whether the parts are of a kind.
  ///
  /// - Throws: 65 where some are and others are not.
  private func areAll(_ kind: String, _ isOne: (String) -> Bool) throws -> Bool {
    guard parts.contains(where: isOne) else { return false }
    if let other = parts.first(where: { !isOne($0) }) {
      throw GristError(.badData, "not \(kind), as others are", file: other)
    }
    return true
  }

  private func say(_ count: Int, _ what: String) throws {
    if global.json {
      try Console.print(["output": JSONValue(output), "parts": JSONValue(parts.count), "count": JSONValue(count)])
    } else if !global.quiet {
      try Console.print("\(output): \(count) \(what) of \(parts.count) parts")
    }
  }
}

extension QuestionPart: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}
