internal import RealModule

/// Two answerers on the same questions: how often each alone is right.
public struct PairedComparison: Sendable, Equatable {
  /// Questions that both, neither, the first alone or the second alone answered rightly.
  public private(set) var both = 0
  public private(set) var neither = 0
  public private(set) var firstOnly = 0
  public private(set) var secondOnly = 0

  public init() {}

  public init(both: Int, neither: Int, firstOnly: Int, secondOnly: Int) {
    (self.both, self.neither, self.firstOnly, self.secondOnly) = (both, neither, firstOnly, secondOnly)
  }

  mutating func count(first: Bool, second: Bool) {
    switch (first, second) {
    case (true, true): both += 1
    case (false, false): neither += 1
    case (true, false): firstOnly += 1
    case (false, true): secondOnly += 1
    }
  }

  public var questions: Int { both + neither + firstOnly + secondOnly }

  /// How much more often the first is right, from −1 to 1.
  public var difference: Double {
    questions == 0 ? 0 : Double(firstOnly - secondOnly) / Double(questions)
  }

  /// How likely so uneven a split is where both are equally good: McNemar's test, exact (two-sided binomial, 1 where they
  /// never differ).
  public var pValue: Double {
    let (few, all) = (min(firstOnly, secondOnly), firstOnly + secondOnly)
    guard all > 0 else { return 1 }
    let total = Double.log(2) * Double(all)
    var tail = 0.0
    for k in 0...few {
      tail += Double.exp(
        Double.logGamma(Double(all) + 1) - Double.logGamma(Double(k) + 1) - Double.logGamma(Double(all - k) + 1) - total
      )
    }
    return min(1, 2 * tail)
  }

  /// Where the difference lies with 95 % confidence: Wald's interval with half a question added to each count (Agresti and
  /// Min 2005).
  public var interval: ClosedRange<Double> {
    let n = Double(questions) + 2
    let (b, c) = (Double(firstOnly) + 0.5, Double(secondOnly) + 0.5)
    let middle = (b - c) / n
    let reach = 1.959963984540054 * (max(b + c - (b - c) * (b - c) / n, 0)).squareRoot() / n
    return max(middle - reach, -1)...min(middle + reach, 1)
  }
}
