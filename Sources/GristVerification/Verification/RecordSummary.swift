import GristCore
import GristFormat
import GristSources

/// What a record inside of a file says about itself, without its answers.
public struct RecordSummary: Sendable {
  public let questions: Int
  /// For people: who answered.
  public let source: String
  /// The day that templates were told; nil where the record does not say.
  public let date: String?
  /// Tokens of all answers.
  public let tokens: Int
  /// Above which margin a choice made in int8 is the reference's; nil where the record does not say it for this
  /// machine.
  public let choiceBound: ChoiceBound?

  /// - Returns: nil where the file has no record, or one that cannot be read.
  public init?(in file: GristFile) {
    guard let bytes = try? file.sideFile(named: ReferenceRecord.embeddedName),
      let record = try? SafetensorsFile(bytes, path: file.path),
      let text = record.metadata.first(where: { $0.name == "record" })?.value, let json = try? JSONValue.parse(text),
      let cases = json["cases"]?.array, let source = json["source"]?.string
    else { return nil }
    questions = cases.count
    choiceBound = ChoiceBound(record: json)
    self.source = source
    date = json["asked"]?["date"]?.string
    tokens = cases.reduce(0) { $0 + ($1["tokens"]?.array?.count ?? 0) }
  }
}
