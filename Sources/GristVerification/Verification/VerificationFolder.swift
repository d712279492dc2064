import GristCore
import GristKernels
import GristModel
import GristSources

/// Comparisons with a record on their way: a line a case.
final class VerificationFolder {
  /// Of the cases that were compared before, by their place.
  let cases: [Int: VerificationReport.Case]
  private let log: QuestionLog

  static func lines(in folder: String) -> String { joinPath(folder, "cases.jsonl") }

  /// What it holds, for messages.
  static let content = "verification"

  /// - Throws: 65 when the folder holds another verification, or one that was changed; 74 when it cannot be written.
  init(path: String, _ model: Source, _ record: ReferenceRecord, arithmetic: String) throws {
    try createFolder(path)
    log = try QuestionLog(
      path: Self.lines(in: path), heading: Self.heading(model, record, arithmetic: arithmetic),
      questions: record.cases.count, what: Self.content)
    cases = Dictionary(
      try log.entries.map { json in
        let index = try json.integer("index", in: 0...max(record.cases.count - 1, 0))
        return (index, try VerificationReport.Case(json, reference: record.cases[index]))
      }, uniquingKeysWith: { first, _ in first })
  }

  func append(_ result: VerificationReport.Case, index: Int) throws { try log.append(result.kept(index: index)) }

  /// What two verifications do not share whose comparisons may differ.
  private static func heading(_ model: Source, _ record: ReferenceRecord, arithmetic: String) throws -> JSONObject {
    let answers = record.cases.map { item -> JSONValue in
      [
        JSONValue(item.inputIDs), JSONValue(item.tokens), item.granularity.map(\.json) ?? .null,
        .array(item.question.pictures.map { JSONValue(sha256($0.bytes)) }),
        JSONValue(item.logits.first?.values.first ?? 0),
      ]
    }
    var heading = try VerifiedSide(model, fingerprint: model.fingerprint())
      .answerKey(alignment: model.alignment?.digest, arithmetic: arithmetic)
    heading["format"] = "gristmill-verification"
    heading["record"] = JSONValue(sha256(Bytes(Array(JSONValue.array(answers).text(pretty: false).utf8))))
    return heading
  }
}

/// Joins what several runs of `gristmill verify --part K/N` compared.
public enum VerificationParts {
  /// Whether there is a verification's folder at `path`.
  public static func isFolder(at path: String) -> Bool { fileKind(at: VerificationFolder.lines(in: path)) == .file }

  /// - Returns: How many cases were compared in all.
  /// - Throws: 65 for folders of different verifications and for a case that was compared twice, 64 when the output is
  ///   there already.
  public static func merge(_ folders: [String], into output: String) throws -> Int {
    try QuestionLog.requireNothing(at: output)
    let joined = try QuestionLog.joined(folders.map(VerificationFolder.lines), what: VerificationFolder.content)
    try createFolder(output)
    try AtomicFile(path: VerificationFolder.lines(in: output), forces: true).finish(with: joined.text)
    return joined.entries.count
  }
}

extension VerificationReport.Case {
  /// All of the case but what the reference said.
  fileprivate func kept(index: Int) -> JSONValue {
    [
      "index": JSONValue(index), "decision": decision.map(\.json) ?? .null,
      "divergences": .array(divergences.map(\.json)), "greedy_match": JSONValue(greedyMatch),
      "grid": grid.map(\.kept) ?? .null,
      "answers": answers.map { [JSONValue($0.reference), JSONValue($0.model)] } ?? .null,
      "failure": failure.map { JSONValue($0) } ?? .null,
    ]
  }

  fileprivate init(_ json: JSONReader, reference: ReferenceRecord.Case) throws {
    let answers = json.has("answers") ? try json.strings("answers") : []
    self.init(
      reference: reference, decision: json.has("decision") ? try RouterDecision(json.object("decision")) : nil,
      divergences: try json.array("divergences").map { try Divergence($0, json) },
      greedyMatch: try json.integer("greedy_match", in: 0...reference.tokens.count),
      grid: json.has("grid") ? try TokenGrid(json.object("grid")) : nil,
      answers: answers.count == 2 ? Answers(reference: answers[0], model: answers[1]) : nil,
      failure: json.has("failure") ? try json.string("failure") : nil)
  }
}

extension Divergence {
  /// Infinite numbers, which JSON has not, are null.
  fileprivate var json: JSONValue {
    var values = [JSONValue(kl), JSONValue(klAtLeast), .bool(agreesOnTop), JSONValue(largestLogitDifference)]
    if let surprisal { values += [JSONValue(surprisal.reference), JSONValue(surprisal.model)] }
    return .array(values)
  }

  fileprivate init(_ value: JSONValue, _ json: JSONReader) throws {
    let values = value.array ?? []
    func number(_ index: Int) throws -> Double {
      if case .null = values[index] { return .infinity }
      guard let number = values[index].double else { throw json.failure("divergences", "numbers") }
      return number
    }
    guard [4, 6].contains(values.count), case .bool(let agrees) = values[2] else {
      throw json.failure("divergences", "four or six values each")
    }
    self.init(
      kl: try number(0), klAtLeast: try number(1), agreesOnTop: agrees, largestLogitDifference: try number(3),
      surprisal: try values.count == 6 ? Surprisal(reference: number(4), model: number(5)) : nil)
  }
}
