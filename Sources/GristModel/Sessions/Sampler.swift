import GristCore
internal import RealModule

/// Picks tokens from logits: greedily, or at random with temperature and nucleus (top-p) sampling.
public struct Sampler: Sendable {
  public let temperature: Float
  public let topP: Float
  private var generator: SplitMix64

  /// Temperature 0 is greedy.
  ///
  /// - Throws: 64 for a negative or infinite temperature, or a top-p outside (0, 1].
  public init(temperature: Float = 0, topP: Float = 1, seed: UInt64 = 0) throws {
    guard temperature >= 0, temperature.isFinite else {
      throw GristError(.usage, "the temperature must be 0 or more", found: "\(temperature)")
    }
    guard topP > 0, topP <= 1 else {
      throw GristError(.usage, "top-p must be above 0 and at most 1", found: "\(topP)")
    }
    self.temperature = temperature
    self.topP = topP
    generator = SplitMix64(state: seed)
  }

  /// Whether it takes the greatest logit always.
  public var isGreedy: Bool { temperature == 0 }

  public mutating func next(_ logits: [Float]) -> Int {
    guard temperature > 0 else { return indexOfGreatest(logits) }
    let greatest = Double(logits.max() ?? 0)
    var candidates = logits.indices.map { index in
      (index: index, weight: Double.exp((Double(logits[index]) - greatest) / Double(temperature)))
    }
    candidates.sort { $0.weight != $1.weight ? $0.weight > $1.weight : $0.index < $1.index }
    let total = candidates.reduce(0) { $0 + $1.weight }
    var kept = 0
    var mass = 0.0
    while kept < candidates.count, kept == 0 || mass < Double(topP) * total {
      mass += candidates[kept].weight
      kept += 1
    }
    var threshold = Double(generator.next() >> 11) * 0x1p-53 * mass
    for candidate in candidates.prefix(kept) {
      threshold -= candidate.weight
      if threshold < 0 { return candidate.index }
    }
    return candidates[kept - 1].index
  }
}

/// Steele, Lea & Flood 2014: the same numbers for the same seed on every machine.
package struct SplitMix64: RandomNumberGenerator {
  private var state: UInt64

  package init(state: UInt64) { self.state = state }

  package mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

/// Position of the greatest value, the first of equal ones; 0 for an empty list.
public func indexOfGreatest(_ values: [Float]) -> Int {
  var best = 0
  for index in values.indices where values[index] > values[best] { best = index }
  return best
}
