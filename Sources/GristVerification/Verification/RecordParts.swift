import GristCore
import GristModel
import GristSources

extension ReferenceRecord {
  /// That a record is one of several parts, and of which questions.
  public struct Part: Sendable, Equatable {
    public let part: QuestionPart
    /// SHA-256 of all questions, 64 hexadecimal digits.
    public let questions: String

    public init(_ part: QuestionPart, of questions: [Question]) {
      let asked = questions.map { question -> JSONValue in
        let (system, turns) = question.turns
        return [
          system, turns, question.answer.map { JSONValue($0) } ?? .null,
          .array(question.pictures.map { [JSONValue($0.name), JSONValue(sha256($0.bytes))] }),
        ]
      }
      self.init(part: part, questions: sha256(Bytes(Array(JSONValue.array(asked).text().utf8))))
    }

    init(part: QuestionPart, questions: String) { (self.part, self.questions) = (part, questions) }
  }

  /// The record that asking all questions at once would have given, byte for byte, where no memory budget has questions go
  /// through together.
  ///
  /// - Parameter parts: every part once, in any order, each with the file it came from, for messages.
  ///
  /// - Throws: 65 for records that are no parts, are of different questions, weights or settings, come twice, or are not
  ///   all there.
  public static func merged(_ parts: [(record: ReferenceRecord, path: String)]) throws -> ReferenceRecord {
    guard let first = parts.first else { throw GristError(.usage, "there are no parts") }
    guard let whole = first.record.part else { throw noPart(first.path) }
    var byIndex: [Int: (record: ReferenceRecord, path: String)] = [:]
    for item in parts {
      guard let part = item.record.part else { throw noPart(item.path) }
      let (a, b) = (first.record, item.record)
      let differences: [(String, Bool)] = [
        ("questions", part.questions == whole.questions), ("number of parts", part.part.count == whole.part.count),
        ("weights", a.fingerprint == b.fingerprint && a.loss == b.loss && a.alignment == b.alignment),
        ("model", a.source == b.source), ("unpadding", a.correctsUnpadding == b.correctsUnpadding),
        ("day", a.clock?.date == b.clock?.date), ("template", a.template == b.template),
        ("kept logits", a.keptLogits == b.keptLogits || a.cases.isEmpty || b.cases.isEmpty),
      ]
      if let (name, _) = differences.first(where: { !$0.1 }) {
        throw GristError(.badData, "the parts do not belong together: they differ in \(name)", file: item.path)
      }
      if let other = byIndex.updateValue(item, forKey: part.part.index) {
        throw GristError(.badData, "part \(part.part) comes twice", file: item.path, found: other.path)
      }
    }
    if let missing = (1...whole.part.count).first(where: { byIndex[$0] == nil }) {
      throw GristError(.badData, "part \(missing)/\(whole.part.count) is missing", file: first.path)
    }
    let cases = (1...whole.part.count).flatMap { byIndex[$0]?.record.cases ?? [] }
    return ReferenceRecord(
      fingerprint: first.record.fingerprint, source: first.record.source, loss: first.record.loss,
      clock: first.record.clock, template: first.record.template, correctsUnpadding: first.record.correctsUnpadding,
      alignment: first.record.alignment,
      cases: cases)
  }

  private static func noPart(_ path: String) -> GristError {
    GristError(.badData, "the record is no part of another", file: path, advice: "make parts with `record --part K/N`")
  }
}
