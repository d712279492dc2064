import GristCore

/// Ways to store some matrices, each with its size and what it costs, and how a budget of bytes is best spent on them.
package enum BitAllocation {
  /// One way to store one matrix.
  package struct Offer: Sendable, Equatable {
    package let scheme: RequestedScheme
    package let byteCount: Int
    /// What it costs, in a unit that adds up over matrices; 0 or more.
    package let price: Double

    package init(scheme: RequestedScheme, byteCount: Int, price: Double) {
      self.scheme = scheme
      self.byteCount = byteCount
      self.price = price
    }
  }

  /// Most steps that a budget is counted in. Sizes of a model's matrices have large common divisors, so that it is
  /// counted exactly; where they do not, sizes are rounded up, and a budget is kept all the more.
  private static let greatestSteps = 1 << 19

  /// For each matrix the index of the offer it takes, so that together they take no more than `budget` bytes and cost
  /// as little as can be: the exact minimum, by dynamic programming over the bytes that are spent beyond the smallest
  /// offers. Of equal prices the smaller wins. Nil when the smallest offers are beyond the budget, or a matrix has
  /// none.
  ///
  /// Takes offers · steps additions and matrices · steps bytes; a step is the greatest common divisor of what offers
  /// differ by, or a 524,288th of the budget.
  package static func cheapest(_ matrices: [[Offer]], budget: Int) -> [Int]? {
    var least = 0
    var extras: [[Int]] = []
    for offers in matrices {
      guard let smallest = offers.map(\.byteCount).min() else { return nil }
      least += smallest
      extras.append(offers.map { $0.byteCount - smallest })
    }
    guard least <= budget else { return nil }
    let room = min(budget - least, extras.reduce(0) { $0 + ($1.max() ?? 0) })
    // A unit that divides all differences counts exactly; a coarser one rounds up.
    let unit = max(extras.joined().reduce(0, greatestCommonDivisor), room / greatestSteps + 1)
    let steps = room / unit
    // The least price with no more than so many steps spent on the matrices up to here, and the offer that the last
    // took.
    var best = [Double](repeating: 0, count: steps + 1)
    var taken: [[UInt8]] = []
    for (offers, extras) in zip(matrices, extras) {
      var next = [Double](repeating: .infinity, count: steps + 1)
      var picked = [UInt8](repeating: 0, count: steps + 1)
      // Smaller offers first, so that they win where prices are equal.
      for index in offers.indices.sorted(by: { extras[$0] < extras[$1] }) {
        let cost = (extras[index] + unit - 1) / unit
        guard cost <= steps else { continue }
        let price = offers[index].price
        for spent in cost...steps where best[spent - cost] + price < next[spent] {
          next[spent] = best[spent - cost] + price
          picked[spent] = UInt8(clamping: index)
        }
      }
      best = next
      taken.append(picked)
    }
    var spent = steps
    var result = [Int](repeating: 0, count: matrices.count)
    for index in matrices.indices.reversed() {
      result[index] = Int(taken[index][spent])
      spent -= (extras[index][result[index]] + unit - 1) / unit
    }
    return result
  }

  private static func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int {
    var (a, b) = (a, b)
    while b != 0 { (a, b) = (b, a % b) }
    return a
  }
}
