import GristCore

/// Scores over visual tokens, a mark a granularity with its standard error, as SVG.
struct ScorePlot {
  typealias Point = (granularity: EvaluatedGranularity, tokens: Double, right: EvaluationReport.Share)

  private let points: [Point]
  private let width = 620.0, height = 300.0
  private let left = 52.0, right = 20.0, top = 14.0, bottom = 40.0

  init(_ points: [Point]) { self.points = points }

  private func number(_ value: Double) -> String { NumberText.fixed(value, digits: 1) }

  var svg: String {
    let most = max(points.map(\.tokens).max() ?? 1, 1) * 1.08
    let low = max((points.map { $0.right.mean - $0.right.standardError }.min() ?? 0) - 0.02, 0)
    let high = min((points.map { $0.right.mean + $0.right.standardError }.max() ?? 1) + 0.02, 1)
    let span = max(high - low, 0.01)
    func x(_ tokens: Double) -> Double { left + tokens / most * (width - left - right) }
    func y(_ share: Double) -> Double { top + (high - share) / span * (height - top - bottom) }
    let lines = (0...4).map { step -> String in
      let value = low + span * Double(step) / 4
      return """
        <line x1="\(number(left))" x2="\(number(width - right))" y1="\(number(y(value)))" y2="\(number(y(value)))"/>\
        <text x="\(number(left - 8))" y="\(number(y(value) + 4))" text-anchor="end">\(number(value * 100))</text>
        """
    }
    let ticks = (0...4).map { step -> String in
      let value = most * Double(step) / 4
      return """
        <text x="\(number(x(value)))" y="\(number(height - bottom + 16))" text-anchor="middle">\
        \(NumberText.fixed(value, digits: 0))</text>
        """
    }
    let marks = points.map { point -> String in
      let (at, up) = (x(point.tokens), y(point.right.mean))
      let reach = (y(point.right.mean + point.right.standardError), y(point.right.mean - point.right.standardError))
      let isAuto = point.granularity == .auto
      return """
        <line class="reach" x1="\(number(at))" x2="\(number(at))" y1="\(number(reach.0))" y2="\(number(reach.1))"/>\
        <circle class="\(isAuto ? "auto" : "mark")" cx="\(number(at))" cy="\(number(up))" r="5"/>\
        <text class="name" x="\(number(at + 9))" y="\(number(up + (isAuto ? 16 : -6)))">\(isAuto ? "router" : point.granularity.name)</text>
        """
    }
    return """
      <svg class="plot" viewBox="0 0 \(number(width)) \(number(height))" width="\(number(width))" role="img" \
      aria-label="right answers in percent over visual tokens">\(lines.joined())\(ticks.joined())\
      <line class="axis" x1="\(number(left))" x2="\(number(width - right))" y1="\(number(height - bottom))" \
      y2="\(number(height - bottom))"/>\
      <text x="\(number(width - right))" y="\(number(height - 6))" text-anchor="end">visual tokens a question</text>\
      \(marks.joined())</svg>
      """
  }
}
