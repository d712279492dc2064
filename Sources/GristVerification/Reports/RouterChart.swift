import GristCore
import GristModel

/// Draws two decisions of the router side by side: a pair of bars a granularity. All charts of a page share one scale.
struct RouterChart {
  private let lowest: Double
  private let highest: Double

  private static let barWidth = 13.0
  private static let groupWidth = 38.0
  private static let height = 60.0
  private static let top = 9.0
  private static let labelHeight = 13.0

  /// `logits` are all that will be drawn; values that are not finite do not count.
  init(_ logits: [Float]) {
    let finite = logits.filter(\.isFinite).map(Double.init)
    lowest = min(finite.min() ?? 0, 0)
    highest = max(finite.max() ?? 0, 0, lowest + 1e-6)
  }

  private func y(_ value: Double) -> Double {
    Self.top + (highest - value) / (highest - lowest) * Self.height
  }

  /// The chart, or nothing when there was nothing to decide.
  func svg(reference: RouterDecision?, model: RouterDecision?) -> String {
    guard let some = reference ?? model else { return "" }
    let width = Self.groupWidth * Double(some.granularities.count)
    let total = Self.top + Self.height + Self.labelHeight
    let size = "width=\"\(NumberText.fixed(width, digits: 0))\" height=\"\(NumberText.fixed(total, digits: 0))\""
    let (expected, chosen) = (reference.map { "\($0.choice)" }, model.map { "\($0.choice)" })
    let spoken = "reference chose \(expected ?? "nothing"), model \(chosen ?? "nothing")"
    var parts = [
      "<svg class=\"chart\" viewBox=\"0 0 \(NumberText.fixed(width, digits: 0)) \(NumberText.fixed(total, digits: 0))\" \(size) role=\"img\" "
        + "aria-label=\"\(spoken)\">"
    ]
    for (index, tokens) in some.granularities.enumerated() {
      let left = Double(index) * Self.groupWidth + (Self.groupWidth - 2 * Self.barWidth - 1) / 2
      let values = "reference \(value(reference, index)), model \(value(model, index))"
      parts.append("<g><title>\(tokens) tokens a tile: \(values)</title>")
      parts.append(bar(reference, index, left, "r"))
      parts.append(bar(model, index, left + Self.barWidth + 1, "m"))
      let middle = left + Self.barWidth + 0.5
      let (x, y) = (NumberText.fixed(middle, digits: 1), NumberText.fixed(total - 2, digits: 1))
      parts.append("<text x=\"\(x)\" y=\"\(y)\">\(tokens)</text></g>")
    }
    let zero = NumberText.fixed(y(0), digits: 1)
    parts.append("<line x1=\"0\" x2=\"\(NumberText.fixed(width, digits: 0))\" y1=\"\(zero)\" y2=\"\(zero)\"/></svg>")
    return parts.joined()
  }

  private func value(_ decision: RouterDecision?, _ index: Int) -> String {
    guard let decision, decision.logits.indices.contains(index) else { return "none" }
    return NumberText.fixed(Double(decision.logits[index]))
  }

  private func bar(_ decision: RouterDecision?, _ index: Int, _ left: Double, _ kind: String) -> String {
    guard let decision, decision.logits.indices.contains(index), decision.logits[index].isFinite else { return "" }
    let value = Double(decision.logits[index])
    let upper = y(max(value, 0))
    let lower = y(min(value, 0))
    var out =
      "<rect class=\"\(kind)\" x=\"\(NumberText.fixed(left, digits: 1))\" y=\"\(NumberText.fixed(upper, digits: 1))\" "
      + "width=\"\(NumberText.fixed(Self.barWidth, digits: 1))\" height=\"\(NumberText.fixed(max(lower - upper, 0.5), digits: 1))\"/>"
    if decision.choiceIndex == index {
      out +=
        "<circle class=\"\(kind)\" cx=\"\(NumberText.fixed(left + Self.barWidth / 2, digits: 1))\" "
        + "cy=\"\(NumberText.fixed(upper - 4.5, digits: 1))\" r=\"2.6\"/>"
    }
    return out
  }
}
