/// Mean, 99th percentile and maximum of some values; all 0 for none.
public struct DivergenceSummary: Sendable, Equatable {
  public let mean: Double
  /// The smallest value that at least half of the values do not exceed.
  public let median: Double
  /// The smallest value that at least 99 % of the values do not exceed.
  public let p99: Double
  public let maximum: Double

  public init(_ values: [Double]) {
    let sorted = values.sorted()
    mean = values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
    /// The smallest value that at least this share of them does not exceed.
    func quantile(_ share: Double) -> Double {
      sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, max(0, Int((share * Double(sorted.count)).rounded(.up)) - 1))]
    }
    median = quantile(0.5)
    p99 = quantile(0.99)
    maximum = sorted.last ?? 0
  }
}
