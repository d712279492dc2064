import Foundation
import GristCore
import GristModel
import GristSources
import GristVerification

/// What an evaluation found: a row a granularity, and how they compare.
public struct EvaluationReport: Sendable {
  public let model: VerifiedSide
  public let questions: [EvaluationQuestion]
  /// Of the questions that were asked, in the file's order.
  public let results: [EvaluatedQuestion]
  public let granularities: [EvaluatedGranularity]
  public let score: AnswerScore?
  public let reference: ReferenceAnswers?
  /// Where the difference from the reference lies, at any time; nil where nobody stops early.
  public let interval: ClosedRange<Double>?
  public let stopWithin: Double?
  public let arithmetic: String
  /// A line of the table each.
  public private(set) var rows: [Row] = []

  init(
    model: VerifiedSide, questions: [EvaluationQuestion], results: [EvaluatedQuestion],
    granularities: [EvaluatedGranularity], options: Evaluation.Options, interval: ClosedRange<Double>?,
    arithmetic: String
  ) {
    (self.model, self.questions, self.results) = (model, questions, results)
    (self.granularities, self.interval, self.arithmetic) = (granularities, interval, arithmetic)
    (score, reference, stopWithin) = (options.score, options.reference, options.stopWithin)
    rows = granularities.map(row)
  }

  /// How good answers are.
  public struct Share: Sendable, Equatable {
    /// Mean score, and its standard error: a proportion's where every score is 0 or 1.
    public let mean: Double
    public let standardError: Double
    public let count: Int

    init(_ scores: [Double]) {
      count = scores.count
      let count = Double(max(scores.count, 1))
      let mean = scores.reduce(0, +) / count
      let variance = scores.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
      (self.mean, standardError) = (mean, (variance / count).squareRoot())
    }

    /// In percent, for people: "90.5 ± 0.6".
    package var text: String {
      "\(NumberText.fixed(mean * 100, digits: 1)) ± \(NumberText.fixed(standardError * 100, digits: 1))"
    }
  }

  /// One line of the table.
  public struct Row: Sendable {
    public let granularity: EvaluatedGranularity
    /// Nil where nothing is scored.
    public let right: Share?
    /// By category, in the order in which the file first names them.
    public let categories: [(name: String, right: Share?, visualTokens: Double)]
    /// Rows of a prompt that show the picture, on average.
    public let visualTokens: Double
    /// How many fewer these are than at the finest grid that was asked for, as a share of it; nil without one.
    public let reduction: Double?
    /// Seconds from picture and question to the end of the answer, on average, asked alone.
    public let seconds: Double
    /// How many times faster than at the finest grid that was asked for; nil without one.
    public let speedUp: Double?
    public let yesNo: YesNo?
    /// Of MME, where every picture was asked about twice.
    public let pairs: PairedQuestions?
    /// The model beside the reference; nil without scores and a reference.
    public let comparison: PairedComparison?
    /// Answers that are the reference's, letter by letter; nil without a reference.
    public let sameAnswers: Int?
  }

  /// A difference of shares in points, for people: "+1.5".
  package static func points(_ share: Double) -> String {
    (share > 0 ? "+" : "") + NumberText.fixed(share * 100, digits: 1)
  }

  private var finest: EvaluatedGranularity? {
    let fixed = granularities.compactMap { if case .fixed(let tokens) = $0 { tokens } else { nil } }
    return fixed.max().map { .fixed($0) }
  }

  private func scores(_ granularity: EvaluatedGranularity, _ results: [EvaluatedQuestion]) -> [Double]? {
    guard let score else { return nil }
    return results.compactMap { result in
      result.answer(granularity).map { score.score($0.text, questions[result.index].answers) }
    }
  }

  private func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(max(values.count, 1)) }

  private func visualTokens(_ granularity: EvaluatedGranularity, _ results: [EvaluatedQuestion]) -> Double {
    mean(results.compactMap { $0.answer(granularity).map { Double($0.visualTokens) } })
  }

  private func seconds(_ granularity: EvaluatedGranularity) -> Double {
    mean(results.compactMap { $0.seconds(granularity) })
  }

  private func row(_ granularity: EvaluatedGranularity) -> Row {
    let (tokens, time) = (visualTokens(granularity, results), seconds(granularity))
    let most = finest.map { (tokens: visualTokens($0, results), seconds: seconds($0)) }
    var yesNo = YesNo()
    var comparison = PairedComparison()
    var same = 0
    for result in results {
      let question = questions[result.index]
      guard let answer = result.answer(granularity) else { continue }
      if let right = question.answers.first { yesNo.count(answer.text, right: right.lowercased() == "yes") }
      guard let other = reference?.text(of: question) else { continue }
      same += other == answer.text ? 1 : 0
      // Half right and more counts as right.
      if let score {
        comparison.count(
          first: score.score(answer.text, question.answers) >= 0.5, second: score.score(other, question.answers) >= 0.5)
      }
    }
    return Row(
      granularity: granularity, right: scores(granularity, results).map { Share($0) },
      categories: categories.map { name in
        let some = results.filter { questions[$0.index].category == name }
        return (name, scores(granularity, some).map { Share($0) }, visualTokens(granularity, some))
      },
      visualTokens: tokens, reduction: most.flatMap { $0.tokens > 0 ? 1 - tokens / $0.tokens : nil }, seconds: time,
      speedUp: most.flatMap { time > 0 ? $0.seconds / time : nil }, yesNo: score == .yesNo ? yesNo : nil,
      pairs: score == .mme ? pairs(granularity) : nil,
      comparison: reference != nil && score != nil ? comparison : nil, sameAnswers: reference == nil ? nil : same)
  }

  private func pairs(_ granularity: EvaluatedGranularity) -> PairedQuestions? {
    PairedQuestions(
      results.compactMap { result in
        let question = questions[result.index]
        guard let answer = result.answer(granularity), let picture = question.question.image else { return nil }
        return (question.category, picture, AnswerScore.mme.score(answer.text, question.answers) == 1)
      })
  }

  /// The categories that the questions name, in their order.
  public var categories: [String] {
    var seen: Set<String> = []
    return results.compactMap { questions[$0.index].category }.filter { seen.insert($0).inserted }
  }

  /// How often the router chose each grid: of all questions, and of each category.
  public var choices: [(category: String?, counts: [Int: Int])] {
    guard results.contains(where: { $0.choice != nil }) else { return [] }
    func counts(_ results: [EvaluatedQuestion]) -> [Int: Int] {
      results.reduce(into: [:]) { counts, result in
        if let choice = result.choice { counts[choice, default: 0] += 1 }
      }
    }
    return [(nil, counts(results))]
      + categories.map { name in (name, counts(results.filter { questions[$0.index].category == name })) }
  }

  /// Answers at a granularity, a line each, in the form that upstream's scorers read.
  func answers(_ granularity: EvaluatedGranularity) -> String {
    let name = fileName(of: model.path)
    return results.compactMap { result -> String? in
      guard let answer = result.answer(granularity) else { return nil }
      let question = questions[result.index]
      let key = [model.fingerprint ?? "", model.recipe ?? "", granularity.name, question.id.text()].joined(
        separator: " ")
      var metadata: JSONObject = ["visual_tokens": JSONValue(answer.visualTokens)]
      if granularity == .auto, let choice = result.choice { metadata["granularity"] = JSONValue(choice) }
      let line: JSONValue = [
        "question_id": question.id, "prompt": JSONValue(question.question.prompt), "text": JSONValue(answer.text),
        "answer_id": JSONValue(String(sha256(Bytes(Array(key.utf8))).prefix(22))), "model_id": JSONValue(name),
        "metadata": .object(metadata),
      ]
      return line.text(pretty: false) + "\n"
    }.joined()
  }
}
