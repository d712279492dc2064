import GristAlignment
import GristCore

/// What aligning a router did, for the terminal.
enum AlignText {
  static func describe(_ report: AlignmentReport) -> String {
    var lines = [
      "\(report.output): \(NumberText.bytes(report.byteCount)); the router was aligned in \(report.steps) steps, "
        + "\(report.parameters) values"
        + (report.stepsNow > 0
          ? ", \(NumberText.significant(report.trainingSeconds / Double(report.stepsNow))) s a step" : "")
    ]
    lines += judged(report.learned, "learned from", report.granularities)
    if let unseen = report.unseen { lines += judged(unseen, "unseen", report.granularities) }
    return lines.joined(separator: "\n")
  }

  static func describe(_ memory: TrainingMemory) -> String {
    "training takes \(NumberText.mebibytes(memory.peakBytes)) at most, \(NumberText.mebibytes(memory.leastBudget)) at least: "
      + "\(memory.parameters) values with gradients and moments are \(NumberText.mebibytes(memory.weightBytes))"
  }

  private static func judged(_ judged: AlignmentReport.Judged, _ title: String, _ granularities: [Int]) -> [String] {
    var table = [
      ["\(judged.questions) questions \(title)", "loss", "regret", "visual tokens"] + granularities.map(String.init)
    ]
    for (index, granularity) in granularities.enumerated() {
      table.append(
        [
          "fixed \(granularity)", NumberText.fixed(judged.losses[index], digits: 4), "-",
          NumberText.fixed(judged.visualTokens[index], digits: 0),
        ] + granularities.map { _ in "-" })
    }
    func row(_ name: String, _ choices: AlignmentReport.Choices) -> [String] {
      [
        name, NumberText.fixed(choices.loss, digits: 4), NumberText.fixed(choices.regret, digits: 4),
        NumberText.fixed(choices.visualTokens, digits: 0),
      ] + choices.counts.map { NumberText.percent(Double($0) / Double(max(judged.questions, 1))) }
    }
    if let before = judged.before { table.append(row("router before", before)) }
    table.append(row("router after", judged.after))
    return ["", Format.table(table)]
  }
}
