import GristModel
import GristSources
internal import RealModule

/// How a new router's values are drawn: linear layers as PyTorch's `Linear` and `MultiheadAttention` do, norms as they
/// are neutral, and upstream's voter, for which all rows of the picture together weigh as much as half of the text.
struct RouterInitialization {
  private var generator: SplitMix64

  init(seed: UInt64) { generator = SplitMix64(state: seed) }

  /// The values of the tensor that stands at a place of ``GranularityRouting/tensors``.
  mutating func values(at place: Int, of routing: GranularityRouting) -> [Float] {
    let tensor = routing.tensors[place]
    let bound = 1 / Double(routing.width).squareRoot()
    switch place {
    // Xavier's uniform distribution, over the three projections together.
    case 0: return uniform(tensor.count, within: (6 / Double(tensor.rows + tensor.columns)).squareRoot())
    case 1, 3: return [Float](repeating: 0, count: tensor.count)
    case 4, 10, 17: return [Float](repeating: 1, count: tensor.count)
    case 5, 11, 18: return [Float](repeating: 0, count: tensor.count)
    case 16:
      let visual = routing.granularities.reduce(0, +)
      return normal(visual, mean: 1 / Double(visual), deviation: 1e-3)
        + normal(tensor.count - visual, mean: 2 / Double(max(routing.filteredTextTokens, 1)), deviation: 1e-2)
    default: return uniform(tensor.count, within: bound)
    }
  }

  private mutating func uniform(_ count: Int, within bound: Double) -> [Float] {
    (0..<count).map { _ in Float(Double.random(in: -bound..<bound, using: &generator)) }
  }

  private mutating func normal(_ count: Int, mean: Double, deviation: Double) -> [Float] {
    (0..<count).map { _ in Float(mean + deviation * standardNormal()) }
  }

  /// A normally distributed number (Box & Muller 1958).
  private mutating func standardNormal() -> Double {
    let radius = (-2 * Double.log(1 - Double.random(in: 0..<1, using: &generator))).squareRoot()
    return radius * .cos(2 * .pi * Double.random(in: 0..<1, using: &generator))
  }
}
