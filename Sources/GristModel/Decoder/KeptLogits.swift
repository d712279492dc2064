internal import RealModule

/// What is kept of a reference's logits before one token: all of them, or the greatest, and what bounds the rest.
public struct KeptLogits: Sendable, Equatable {
  /// What is known of logits that were not kept.
  public struct Rest: Sendable, Equatable {
    /// The logarithm of the sum of their exponentials.
    public let logSum: Float
    /// The greatest of them.
    public let greatest: Float

    public init(logSum: Float, greatest: Float) {
      self.logSum = logSum
      self.greatest = greatest
    }
  }

  /// Tokens that are kept, the greatest logit first; nil where all are, in their order.
  public let ids: [Int]?
  public let values: [Float]
  /// Nil where all are kept.
  public let rest: Rest?
  /// Tokens of the vocabulary.
  public let count: Int

  /// Keeps all.
  public init(_ logits: [Float]) {
    (ids, values, rest, count) = (nil, logits, nil, logits.count)
  }

  /// Keeps the greatest `kept` of them, and one token's whatever it is. All are kept where there are no more.
  public init(_ logits: [Float], greatest kept: Int, and token: Int) {
    guard kept > 0, kept < logits.count else {
      self.init(logits)
      return
    }
    var ids = Array(logits.indices.sorted { (logits[$1], $0) < (logits[$0], $1) }.prefix(kept))
    if logits.indices.contains(token), !ids.contains(token) { ids[kept - 1] = token }
    let isKept = Set(ids)
    let others = logits.indices.filter { !isKept.contains($0) }.map { Double(logits[$0]) }
    let greatest = others.max() ?? -.infinity
    let sum = others.reduce(0) { $0 + .exp($1 - greatest) }
    self.init(
      ids: ids, values: ids.map { logits[$0] },
      rest: Rest(logSum: Float(greatest + .log(sum)), greatest: Float(greatest)), count: logits.count)
  }

  /// As they were kept.
  ///
  /// - Precondition: There are as many ids as values, each below `count` and there once.
  public init(ids: [Int], values: [Float], rest: Rest, count: Int) {
    precondition(ids.count == values.count && ids.allSatisfy { (0..<count).contains($0) })
    (self.ids, self.values, self.rest, self.count) = (ids, values, rest, count)
  }

  /// Whether all that is kept is numbers.
  public var isFinite: Bool {
    values.allSatisfy(\.isFinite) && (rest.map { $0.logSum.isFinite && $0.greatest.isFinite } ?? true)
  }

  /// The logits of tokens that both keep.
  public func shared(with other: KeptLogits) -> [(Float, Float)] {
    guard ids != nil || other.ids != nil else { return Array(zip(values, other.values)) }
    let theirs = Dictionary(
      zip(other.ids ?? Array(other.values.indices), other.values), uniquingKeysWith: { first, _ in first })
    return zip(ids ?? Array(values.indices), values).compactMap { id, value in theirs[id].map { (value, $0) } }
  }
}

extension Divergence {
  /// Compares what was kept of a reference's logits with a model's. Where not all was kept the divergence is the
  /// greatest that it can be, so that nothing passes that would not: what is known of the reference's other tokens is
  /// how likely they are together, and at most each by itself. A convex function of their probabilities is greatest
  /// where as few of them as can be share all of it, and those are the tokens that the model finds least likely.
  public init(reference: KeptLogits, model: [Float], token: Int? = nil) {
    guard let ids = reference.ids, let rest = reference.rest else {
      self.init(reference: reference.values, model: model, token: token)
      return
    }
    guard reference.count == model.count, reference.isFinite, model.allSatisfy(\.isFinite), !ids.isEmpty else {
      self.init(reference: [.nan], model: [.nan], token: token)
      return
    }
    let q = Self.logProbabilities(model)
    // The rest counts as one more logit.
    let p = Self.logProbabilities(reference.values + [rest.logSum])
    let normalizer = Double(reference.values[0]) - p[0]
    var (known, largest) = (0.0, 0.0)
    for (place, id) in ids.enumerated() {
      known += .exp(p[place]) * (p[place] - q[id])
      largest = max(largest, abs(Double(reference.values[place]) - Double(model[id])))
    }
    let kept = Set(ids)
    let others = q.indices.filter { !kept.contains($0) }.map { q[$0] }
    // Rounding must not make the greatest of the rest less likely than the mean of it.
    let mass = Double.exp(p[ids.count])
    let most = max(.exp(Double(rest.greatest) - normalizer), mass / Double(max(others.count, 1)))
    let atMost = known + Self.greatestDivergence(of: mass, atMostEach: most, from: others)
    let greatest = others.max() ?? 0
    let log = greatest + .log(others.reduce(0) { $0 + .exp($1 - greatest) })
    let atLeast = known + (mass > 0 && log.isFinite ? mass * (.log(mass) - log) : 0)
    let top = model.indices.max { model[$0] < model[$1] }
    let place = token.flatMap { ids.firstIndex(of: $0) }
    self.init(
      kl: max(atMost, 0), klAtLeast: max(min(atLeast, atMost), 0), agreesOnTop: ids[0] == top,
      largestLogitDifference: largest,
      surprisal: token.map { token in
        Surprisal(
          reference: place.map { -p[$0] } ?? .infinity, model: q.indices.contains(token) ? -q[token] : .infinity)
      })
  }

  /// The greatest Σ p log(p / q) over all ways to share a mass among tokens of log-probabilities `q`, none of which
  /// gets more than `most`.
  private static func greatestDivergence(of mass: Double, atMostEach most: Double, from q: [Double]) -> Double {
    var (left, sum) = (mass, 0.0)
    for other in q.sorted() {
      guard left > 0 else { break }
      let share = min(left, most)
      sum += share * (.log(share) - other)
      left -= share
    }
    return sum
  }
}
