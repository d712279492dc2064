import GristConversion
import Testing

@Suite("A budget of bits") struct BitAllocationTests {
  private struct Random: RandomNumberGenerator {
    var state: UInt64
    // SplitMix64: ranges are drawn by the high bits, which have to be as random as the low ones.
    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
  }

  private func offers(_ sizes: [Int], _ prices: [Double]) -> [BitAllocation.Offer] {
    zip(sizes, prices).map { .init(scheme: .grouped(.int4, groupSize: 64), byteCount: $0, price: $1) }
  }

  /// Every way to choose.
  private func best(_ matrices: [[BitAllocation.Offer]], budget: Int) -> Double? {
    var least: Double?
    func go(_ index: Int, _ bytes: Int, _ price: Double) {
      guard bytes <= budget else { return }
      guard index < matrices.count else {
        least = min(least ?? .infinity, price)
        return
      }
      for offer in matrices[index] { go(index + 1, bytes + offer.byteCount, price + offer.price) }
    }
    go(0, 0, 0)
    return least
  }

  @Test("is spent as well as any way to spend it, on 300 random cases")
  func exact() throws {
    var random = Random(state: 15)
    var choices = 0
    for round in 0..<300 {
      let unit = [1, 7, 64, 4096][round % 4]
      let matrices = (0..<Int.random(in: 1...6, using: &random)).map { _ in
        let count = Int.random(in: 1...4, using: &random)
        return offers(
          (0..<count).map { _ in unit * Int.random(in: 1...40, using: &random) },
          (0..<count).map { _ in Double(Int.random(in: 0...1000, using: &random)) })
      }
      let budget = unit * Int.random(in: 1...200, using: &random)
      let taken = BitAllocation.cheapest(matrices, budget: budget)
      let wanted = best(matrices, budget: budget)
      #expect((taken == nil) == (wanted == nil))
      guard let taken, let wanted else { continue }
      let chosen = zip(matrices, taken).map { $0[$1] }
      #expect(chosen.reduce(0) { $0 + $1.byteCount } <= budget)
      #expect(chosen.reduce(0) { $0 + $1.price } == wanted, "\(matrices), \(budget)")
      if matrices.count > 1, matrices.contains(where: { $0.count > 1 }) { choices += 1 }
    }
    // There was something to choose.
    #expect(choices > 100)
  }

  @Test("of equal prices the smaller is taken; a budget that is larger than all is no harm")
  func ties() {
    #expect(BitAllocation.cheapest([offers([30, 10, 20], [1, 1, 1])], budget: 30) == [1])
    #expect(BitAllocation.cheapest([offers([10, 20], [2, 1]), offers([5, 9], [1, 0])], budget: .max) == [1, 1])
    #expect(BitAllocation.cheapest([], budget: 0) == [])
    #expect(BitAllocation.cheapest([[]], budget: 10) == nil)
    #expect(BitAllocation.cheapest([offers([10], [0])], budget: 9) == nil)
  }

  @Test("sizes without a common divisor are rounded up, and the budget still holds")
  func rounded() throws {
    var random = Random(state: 16)
    let matrices = (0..<40).map { _ in
      offers(
        [1_000_003, 1_100_009, 2_000_029].map { $0 + Int.random(in: 0...1000, using: &random) },
        [9, 4, 1].map { $0 * Double.random(in: 0.5...2, using: &random) })
    }
    let least = matrices.reduce(0) { $0 + $1[0].byteCount }
    let budget = least + 12_345_678
    let taken = try #require(BitAllocation.cheapest(matrices, budget: budget))
    let chosen = zip(matrices, taken).map { $0[$1] }
    let spent = chosen.reduce(0) { $0 + $1.byteCount }
    #expect(spent <= budget && Double(spent - least) > 0.9 * 12_345_678)
  }
}
