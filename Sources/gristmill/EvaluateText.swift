import GristCore
import GristEvaluation

/// An evaluation for the terminal.
enum EvaluateText {
  static func describe(_ report: EvaluationReport) -> String {
    var lines = [
      "\(report.results.count) of \(report.questions.count) questions"
        + (report.score.map { ", scored by \($0.rawValue)" } ?? ""), "",
    ]
    let rows = report.rows
    var table = [["tokens a tile", "right, %", "visual tokens", "fewer", "seconds", "speed-up"]]
    for row in rows {
      table.append([
        row.granularity == .auto ? "router" : row.granularity.name, row.right?.text ?? "-",
        NumberText.fixed(row.visualTokens, digits: 0), row.reduction.map(NumberText.percent) ?? "-",
        NumberText.significant(row.seconds), row.speedUp.map { NumberText.fixed($0, digits: 2) } ?? "-",
      ])
    }
    lines.append(Format.table(table))
    if !report.categories.isEmpty, report.score != nil {
      var table = [["category"] + rows.map { $0.granularity == .auto ? "router" : $0.granularity.name }]
      for (index, name) in report.categories.enumerated() {
        table.append([name.visible()] + rows.map { $0.categories[index].right?.text ?? "-" })
      }
      lines += ["", Format.table(table)]
    }
    if let all = report.choices.first {
      let grids = all.counts.keys.sorted()
      var table = [["the router chose"] + grids.map(String.init)]
      for item in report.choices {
        let total = Double(max(item.counts.values.reduce(0, +), 1))
        table.append(
          [item.category?.visible() ?? "all"]
            + grids.map { NumberText.percent(Double(item.counts[$0] ?? 0) / total) })
      }
      lines += ["", Format.table(table)]
    }
    for row in rows {
      if let yesNo = row.yesNo {
        lines.append(
          "\(row.granularity.name): F1 \(NumberText.fixed(yesNo.f1)), precision \(NumberText.fixed(yesNo.precision)), recall "
            + "\(NumberText.fixed(yesNo.recall)), said yes in \(NumberText.percent(yesNo.yesRatio))")
      }
      if let pairs = row.pairs {
        lines.append(
          "\(row.granularity.name): MME \(NumberText.fixed(pairs.score, digits: 1)), accuracy+ "
            + "\(NumberText.percent(pairs.accuracyPlus)) of \(pairs.categories.reduce(0) { $0 + $1.pictures }) pictures"
        )
      }
      if let comparison = row.comparison {
        lines.append(
          "\(row.granularity.name) against \(report.reference?.name ?? ""): right alone \(comparison.firstOnly) against "
            + "\(comparison.secondOnly), McNemar's p \(NumberText.significant(comparison.pValue)); "
            + "\(EvaluationReport.points(comparison.difference)) points (\(EvaluationReport.points(comparison.interval.lowerBound)) to "
            + "\(EvaluationReport.points(comparison.interval.upperBound)))")
      }
      if let same = row.sameAnswers {
        lines.append("\(row.granularity.name): \(same) of \(report.results.count) answers are the reference's")
      }
    }
    if let within = report.stopWithin, let interval = report.interval {
      lines.append(
        (report.results.count < report.questions.count ? "stopped early: " : "") + "the difference lies between "
          + "\(EvaluationReport.points(interval.lowerBound)) and \(EvaluationReport.points(interval.upperBound)) points, at any time; asked was within "
          + NumberText.significant(within * 100))
    }
    return lines.joined(separator: "\n")
  }
}
