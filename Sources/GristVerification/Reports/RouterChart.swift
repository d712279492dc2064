import GristCore
import GristModel

/// Draws two decisions of the router side by side, choice by choice: a pair of bars an option. All charts of a page
/// share one scale.
struct RouterChart {
  private let lowest: Double
  private let highest: Double

  private static let barWidth = 13.0
  private static let groupWidth = 38.0
  private static let height = 60.0
  private static let top = 9.0
  private static let labelHeight = 13.0

  /// `scores` are all that will be drawn; values that are not finite do not count.
  init(_ scores: [Float]) {
    let finite = scores.filter(\.isFinite).map(Double.init)
    lowest = min(finite.min() ?? 0, 0)
    highest = max(finite.max() ?? 0, 0, lowest + 1e-6)
  }

  private func y(_ value: Double) -> Double {
    Self.top + (highest - value) / (highest - lowest) * Self.height
  }

  /// A chart for each choice; nothing when there was nothing to decide.
  func svg(reference: RouterDecision?, model: RouterDecision?) -> String {
    let (expected, found) = (reference?.choices ?? [], model?.choices ?? [])
    return (0..<max(expected.count, found.count)).map { index in
      svg(
        reference: expected.indices.contains(index) ? expected[index] : nil,
        model: found.indices.contains(index) ? found[index] : nil)
    }.joined()
  }

  private func svg(reference: RouterChoice?, model: RouterChoice?) -> String {
    guard let some = reference ?? model else { return "" }
    let width = Self.groupWidth * Double(some.options.count)
    let total = Self.top + Self.height + Self.labelHeight
    let size = "width=\"\(NumberText.fixed(width, digits: 0))\" height=\"\(NumberText.fixed(total, digits: 0))\""
    let (expected, chosen) = (reference.map { "\($0.tokens)" }, model.map { "\($0.tokens)" })
    let place = if case .tile(let index) = some.place { "tile \(index + 1): " } else { "" }
    let spoken = "\(place)reference chose \(expected ?? "nothing"), model \(chosen ?? "nothing")"
    var parts = [
      "<svg class=\"chart\" viewBox=\"0 0 \(NumberText.fixed(width, digits: 0)) \(NumberText.fixed(total, digits: 0))\" \(size) role=\"img\" "
        + "aria-label=\"\(spoken)\">"
    ]
    for (index, tokens) in some.options.enumerated() {
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

  private func value(_ choice: RouterChoice?, _ index: Int) -> String {
    guard let choice, choice.scores.indices.contains(index) else { return "none" }
    return NumberText.fixed(Double(choice.scores[index]))
  }

  private func bar(_ choice: RouterChoice?, _ index: Int, _ left: Double, _ kind: String) -> String {
    guard let choice, choice.scores.indices.contains(index), choice.scores[index].isFinite else { return "" }
    let value = Double(choice.scores[index])
    let upper = y(max(value, 0))
    let lower = y(min(value, 0))
    var out =
      "<rect class=\"\(kind)\" x=\"\(NumberText.fixed(left, digits: 1))\" y=\"\(NumberText.fixed(upper, digits: 1))\" "
      + "width=\"\(NumberText.fixed(Self.barWidth, digits: 1))\" height=\"\(NumberText.fixed(max(lower - upper, 0.5), digits: 1))\"/>"
    if choice.index == index {
      out +=
        "<circle class=\"\(kind)\" cx=\"\(NumberText.fixed(left + Self.barWidth / 2, digits: 1))\" "
        + "cy=\"\(NumberText.fixed(upper - 4.5, digits: 1))\" r=\"2.6\"/>"
    }
    return out
  }
}
