import GristKernels
internal import RealModule

/// What a router is trained by (arXiv 2410.02745, section 3.4): that granularities stand in the order of their losses,
/// and that the best one is chosen.
public struct RankingLoss: Sendable, Equatable {
  /// Which of the two terms count.
  public enum Terms: String, Sendable, CaseIterable {
    case both
    case ranking
    case crossEntropy = "cross-entropy"
  }

  public var terms = Terms.both
  /// Weight of the cross-entropy beside the ranking; alone it has weight 1.
  public var alpha = 0.1
  /// How much further apart scores must be than losses.
  public var margin = 1.0
  /// Added to the loss of each granularity, times its share of the finest one's tokens.
  public var tokenPrice = 0.0

  public init() {}

  /// Losses with the price of tokens.
  func priced(_ losses: [Double], _ granularities: [Int]) -> [Float] {
    let finest = Double(granularities.max() ?? 1)
    return zip(losses, granularities).map { Float($0 + tokenPrice * Double($1) / finest) }
  }

  /// The loss of some samples, and its derivative by their logits: both [samples][granularities].
  ///
  /// The ranking term is, for each distance j of two granularities in the order of losses, the mean over samples and pairs
  /// of max(0, s₍ᵢ₊ⱼ₎ − s₍ᵢ₎ + margin · j · (l₍ᵢ₊ⱼ₎ − l₍ᵢ₎)), s the log-softmax of the logits; equal losses keep the
  /// granularities' order.
  func callAsFunction(_ logits: [[Float]], losses: [[Float]]) -> (loss: Double, gradients: [[Float]]) {
    var total = 0.0
    let samples = Double(max(logits.count, 1))
    let weight = terms == .crossEntropy ? 1.0 : terms == .both ? alpha : 0
    let gradients = zip(logits, losses).map { logits, losses -> [Float] in
      let scores = Self.logSoftmax(logits)
      var slopes = [Double](repeating: 0, count: logits.count)
      if terms != .crossEntropy {
        let order = losses.indices.sorted { (losses[$0], $0) < (losses[$1], $1) }
        for distance in 1..<max(order.count, 1) {
          let share = 1 / (samples * Double(order.count - distance))
          for (better, worse) in zip(order, order.dropFirst(distance)) {
            let gap = Double(losses[worse] - losses[better])
            let value = scores[worse] - scores[better] + margin * Double(distance) * gap
            // As PyTorch's clamp, whose derivative is 1 where it begins.
            guard value >= 0 else { continue }
            total += share * value
            slopes[worse] += share
            slopes[better] -= share
          }
        }
      }
      if weight > 0, let best = losses.indices.min(by: { losses[$0] < losses[$1] }) {
        total -= weight * scores[best] / samples
        slopes[best] -= weight / samples
      }
      let sum = slopes.reduce(0, +)
      return zip(slopes, scores).map { Float($0 - Double.exp($1) * sum) }
    }
    return (total, gradients)
  }

  private static func logSoftmax(_ logits: [Float]) -> [Double] {
    let greatest = Double(logits.max() ?? 0)
    let sum = logits.reduce(0.0) { $0 + Double.exp(Double($1) - greatest) }
    return logits.map { Double($0) - greatest - Double.log(sum) }
  }
}
