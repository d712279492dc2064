import ArgumentParser
import GristCore
import GristEvaluation
import GristModel
import GristVerification

struct Merge: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Join what several runs with --part K/N gave: records, or folders of an evaluation.",
    discussion: """
      Records become the record that one run would have given, byte for byte. Folders become one that has every answer: \
      `gristmill evaluate`, given again with it as --output, asks nothing and writes the figures of all.
      """)

  @Argument(help: "The parts, in any order.")
  var parts: [String]

  @Option(name: .shortAndLong, help: ArgumentHelp("The record or folder to write.", valueName: "output"))
  var output: String

  @OptionGroup var outputs: OutputOptions
  @OptionGroup var global: GlobalOptions

  func run() throws {
    let isFolder = parts.map(EvaluationParts.isFolder)
    if isFolder.contains(true) {
      if let index = isFolder.firstIndex(of: false) {
        throw GristError(.badData, "not the folder of an evaluation, as others are", file: parts[index])
      }
      return try say(EvaluationParts.merge(parts, into: output), "answered questions")
    }
    let records = try parts.map { (record: try ReferenceRecord(path: $0), path: $0) }
    let merged = try ReferenceRecord.merged(records)
    try outputs.file(output, .record).finish(with: merged.encoded())
    try say(merged.cases.count, "cases")
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
