internal import RealModule

/// An interval for the mean of numbers from 0 to 1 that come one by one, which holds at all times together with the given
/// confidence: whoever looks after each and stops when it suits is not misled.
///
/// The predictable plug-in empirical Bernstein sequence of Waudby-Smith and Ramdas (2023), theorem 2. The numbers must come
/// in an order that says nothing about them.
public struct ConfidenceSequence: Sendable {
  private let logLevel: Double
  private var count = 0
  private var (sum, squares) = (0.0, 0.0)
  /// Of bets, of bets times numbers, and of what betting costs.
  private var (bets, weighted, cost) = (0.0, 0.0, 0.0)
  private var best: ClosedRange<Double> = 0...1

  /// - Parameter error: the chance that the interval ever misses the mean.
  public init(error: Double = 0.05) { logLevel = Double.log(2 / error) }

  /// Where the mean lies. Never grows.
  public var interval: ClosedRange<Double> { best }

  /// - Parameter value: from 0 to 1.
  public mutating func append(_ value: Double) {
    // Both as they stood before this number.
    let mean = (0.5 + sum) / Double(count + 1)
    let variance = (0.25 + squares) / Double(count + 1)
    count += 1
    let time = Double(count)
    let bet = min((2 * logLevel / (variance * time * Double.log(1 + time))).squareRoot(), 0.5)
    bets += bet
    weighted += bet * value
    cost += (value - mean) * (value - mean) * (-Double.log(1 - bet) - bet)
    sum += value
    let now = (0.5 + sum) / Double(count + 1)
    squares += (value - now) * (value - now)
    let (middle, reach) = (weighted / bets, (logLevel + cost) / bets)
    let (lower, upper) = (max(best.lowerBound, middle - reach), min(best.upperBound, middle + reach))
    if lower <= upper { best = lower...upper }
  }
}
