import GristKernels
internal import RealModule

/// AdamW (Loshchilov & Hutter 2019) as PyTorch computes it, with its defaults: β 0.9 and 0.999, ε 1e-8.
struct AdamW {
  let weightDecay: Double
  private(set) var steps = 0
  let first: RouterWeights
  let second: RouterWeights

  init(_ weights: RouterWeights, weightDecay: Double) {
    self.weightDecay = weightDecay
    first = RouterWeights(zerosFor: weights.routing)
    second = RouterWeights(zerosFor: weights.routing)
  }

  /// Goes on after so many steps; the moments are filled by whoever kept them.
  mutating func resume(after steps: Int) { self.steps = steps }

  /// Moves the weights by the gradients, which are scaled first.
  mutating func step(
    _ weights: RouterWeights, _ gradients: RouterWeights, scale: Float, rate: Double, _ compute: Compute
  ) {
    steps += 1
    let (beta1, beta2) = (0.9, 0.999)
    let correction1 = 1 - Double.pow(beta1, steps)
    let correction2 = (1 - Double.pow(beta2, steps)).squareRoot()
    let (decay, size) = (Float(1 - rate * weightDecay), Float(rate / correction1))
    let (share1, share2, keep2) = (Float(1 - beta1), Float(1 - beta2), Float(beta2))
    for index in weights.tensors.indices {
      let (weight, gradient) = (weights.tensors[index], gradients.tensors[index])
      let (first, second) = (first.tensors[index], second.tensors[index])
      compute.forEachRow(of: weight, gradient, first, second) { values, gradients, means, squares in
        for index in values.indices {
          let slope = gradients[index] * scale
          means[index] += (slope - means[index]) * share1
          squares[index] = squares[index] * keep2 + share2 * slope * slope
          let divisor = squares[index].squareRoot() / Float(correction2) + 1e-8
          values[index] = values[index] * decay - size * means[index] / divisor
        }
      }
    }
  }
}

/// The rate of each step: up along a cosine from a 25th of the greatest for a tenth of the steps, then down to a 250,000th
/// of it; PyTorch's `OneCycleLR` with `pct_start=0.1`.
package struct OneCycleRate {
  let greatest: Double
  let steps: Int

  package init(greatest: Double, steps: Int) { (self.greatest, self.steps) = (greatest, steps) }

  /// - Parameter step: from 0.
  package func callAsFunction(_ step: Int) -> Double {
    let (first, last) = (greatest / 25, greatest / 25 / 1e4)
    let peak = 0.1 * Double(steps) - 1
    let end = Double(steps - 1)
    let place = Double(step)
    if place <= peak { return Self.between(first, greatest, place / peak) }
    return Self.between(greatest, last, end > peak ? (place - peak) / (end - peak) : 1)
  }

  private static func between(_ start: Double, _ end: Double, _ share: Double) -> Double {
    end + (start - end) / 2 * (Double.cos(.pi * share) + 1)
  }
}
