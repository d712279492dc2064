import GristCore
import GristVerification

extension EvaluationReport {
  /// The figures as one page that needs nothing else: no scripts, no fonts, nothing from elsewhere. What came from outside
  /// is escaped.
  public var html: String {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>Evaluation: \(escaped(fileName(of: model.path)))</title>
    <style>
    \(ReportStyle.css)
    .plots { display: flex; flex-wrap: wrap; gap: 24px; }
    .plot line { stroke: var(--line); } .plot .axis { stroke: var(--soft); } .plot text { fill: var(--soft); font-size: 11px; }
    .plot .mark { fill: var(--reference); } .plot .auto { fill: var(--model); } .plot .reach { stroke: var(--soft); }
    .plot .name { fill: var(--ink); }
    </style>
    </head>
    <body>
    <main>
    <header>
    <h1>\(escaped(fileName(of: model.path)))</h1>
    <p class="against">\(escaped(model.summary)); \(escaped(arithmetic)). \(results.count) of \(questions.count) questions\(score.map { ", scored by \($0.rawValue)" } ?? "").</p>
    \(stopped)
    </header>
    \(table)
    \(plots)
    \(categoryTable)
    \(choiceTable)
    <footer>gristmill \(escaped(gristmillVersion))</footer>
    </main>
    </body>
    </html>

    """
  }

  private var stopped: String {
    guard let stopWithin, let interval else { return "" }
    let decided = results.count < questions.count ? "Stopped early: the" : "The"
    return """
      <p class="against">\(decided) difference from the reference lies between \(Self.points(interval.lowerBound)) and \
      \(Self.points(interval.upperBound)) points with 95 % confidence at whatever time one looks; asked was whether it is \
      within \(NumberText.significant(stopWithin * 100)).</p>
      """
  }

  private func cells(_ values: [String]) -> String { values.map { "<td class=\"n\">\($0)</td>" }.joined() }

  private var table: String {
    let hasComparison = rows.contains { $0.comparison != nil }
    let hasYesNo = rows.contains { $0.yesNo != nil }
    let lines = rows.map { row -> String in
      var values = [
        row.right?.text ?? "–", NumberText.fixed(row.visualTokens, digits: 0),
        row.reduction.map(NumberText.percent) ?? "–",
        NumberText.significant(row.seconds), row.speedUp.map { NumberText.fixed($0, digits: 2) + " ×" } ?? "–",
      ]
      if hasYesNo {
        values += row.yesNo.map { [NumberText.fixed($0.f1), NumberText.percent($0.yesRatio)] } ?? ["–", "–"]
      }
      if hasComparison {
        values +=
          row.comparison.map { item in
            [
              "\(item.firstOnly) / \(item.secondOnly)", NumberText.significant(item.pValue),
              "\(Self.points(item.difference)) (\(Self.points(item.interval.lowerBound)) to \(Self.points(item.interval.upperBound)))",
            ]
          } ?? ["–", "–", "–"]
      }
      return "<tr><td>\(row.granularity == .auto ? "<b>router</b>" : row.granularity.name)</td>\(cells(values))</tr>"
    }
    let heads =
      ["right, %", "visual tokens", "fewer", "seconds", "speed-up"] + (hasYesNo ? ["F1", "said yes"] : [])
      + (hasComparison ? ["right alone, model / reference", "McNemar's p", "difference, points (95 %)"] : [])
    return """
      <section><h2>At each granularity</h2>
      <div class="scroll"><table><thead><tr><th>tokens a tile</th>\
      \(heads.map { "<th class=\"n\">\($0)</th>" }.joined())</tr></thead><tbody>\(lines.joined())</tbody></table></div>
      <p class="legend">Right: mean score and its standard error. Visual tokens: rows of a prompt that show the picture. \
      Fewer and speed-up are against the finest grid. Seconds: picture, router, prompt and answer, one question alone\
      \(reference.map { ". The reference: \(escaped($0.name))" } ?? "").</p></section>
      """
  }

  private var plots: String {
    let points = rows.compactMap { row in row.right.map { (row: row, right: $0) } }
    guard points.count > 1 else { return "" }
    let plot = ScorePlot(points.map { ($0.row.granularity, $0.row.visualTokens, $0.right) })
    return "<section><h2>What visual tokens buy</h2><div class=\"plots\">\(plot.svg)</div></section>"
  }

  private var categoryTable: String {
    guard !categories.isEmpty, score != nil else { return "" }
    let heads = granularities.map { "<th class=\"n\">\($0 == .auto ? "router" : $0.name)</th>" }.joined()
    let lines = categories.indices.map { index in
      let count = rows.first?.categories[index].right?.count ?? 0
      return
        "<tr><td>\(escaped(categories[index]))</td>\(cells(["\(count)"] + rows.map { $0.categories[index].right?.text ?? "–" }))</tr>"
    }
    return """
      <section><h2>By category</h2><div class="scroll"><table><thead><tr><th>category</th>\
      <th class="n">questions</th>\(heads)</tr></thead><tbody>\(lines.joined())</tbody></table></div></section>
      """
  }

  private var choiceTable: String {
    let choices = self.choices
    guard let all = choices.first else { return "" }
    let grids = all.counts.keys.sorted()
    let lines = choices.map { item in
      let total = Double(max(item.counts.values.reduce(0, +), 1))
      return "<tr><td>\(item.category.map(escaped) ?? "<b>all</b>")</td>"
        + cells(grids.map { NumberText.percent(Double(item.counts[$0] ?? 0) / total) }) + "</tr>"
    }
    return """
      <section><h2>What the router chose</h2><div class="scroll parts"><table><thead><tr><th>category</th>\
      \(grids.map { "<th class=\"n\">\($0)</th>" }.joined())</tr></thead><tbody>\(lines.joined())</tbody></table></div></section>
      """
  }
}
