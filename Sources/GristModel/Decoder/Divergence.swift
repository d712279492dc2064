internal import RealModule

/// How far one distribution over the vocabulary is from another.
public struct Divergence: Sendable, Equatable {
  /// Kullback-Leibler divergence KL(reference ‖ model) in nats, of the two softmaxes; ≥ 0 up to rounding. Of a
  /// reference that not all is known of, the greatest that it can be.
  public let kl: Double
  /// The least that it can be; ``kl`` where all is known.
  public let klAtLeast: Double
  /// Whether both have the same most likely token.
  public let agreesOnTop: Bool
  public let largestLogitDifference: Double
  /// How much the token that came surprises each: −log of its probability, in nats. Nil where none was given.
  public let surprisal: Surprisal?

  public struct Surprisal: Sendable, Equatable {
    public let reference: Double
    public let model: Double

    package init(reference: Double, model: Double) { (self.reference, self.model) = (reference, model) }
  }

  /// Compares logits over the same vocabulary, in double precision. A value that is not finite makes the divergence
  /// infinite: it must never pass. A `token` that the vocabulary has not surprises without bound.
  public init(reference: [Float], model: [Float], token: Int? = nil) {
    guard reference.count == model.count, !reference.isEmpty, reference.allSatisfy(\.isFinite),
      model.allSatisfy(\.isFinite)
    else {
      self.init(
        kl: .infinity, klAtLeast: .infinity, agreesOnTop: false, largestLogitDifference: .infinity,
        surprisal: token.map { _ in Surprisal(reference: .infinity, model: .infinity) })
      return
    }
    let p = Self.logProbabilities(reference)
    let q = Self.logProbabilities(model)
    var sum = 0.0
    var largest = 0.0
    for index in p.indices {
      sum += .exp(p[index]) * (p[index] - q[index])
      largest = max(largest, abs(Double(reference[index]) - Double(model[index])))
    }
    self.init(
      kl: max(sum, 0), klAtLeast: max(sum, 0), agreesOnTop: Self.top(reference) == Self.top(model),
      largestLogitDifference: largest,
      surprisal: token.map { token in
        p.indices.contains(token)
          ? Surprisal(reference: -p[token], model: -q[token]) : Surprisal(reference: .infinity, model: .infinity)
      })
  }

  package init(kl: Double, klAtLeast: Double, agreesOnTop: Bool, largestLogitDifference: Double, surprisal: Surprisal?)
  {
    self.kl = kl
    self.klAtLeast = klAtLeast
    self.agreesOnTop = agreesOnTop
    self.largestLogitDifference = largestLogitDifference
    self.surprisal = surprisal
  }

  private static func top(_ values: [Float]) -> Int? { values.indices.max { values[$0] < values[$1] } }

  static func logProbabilities(_ logits: [Float]) -> [Double] {
    let greatest = Double(logits.max() ?? 0)
    let sum = logits.reduce(0.0) { $0 + .exp(Double($1) - greatest) }
    let normalizer = greatest + .log(sum)
    return logits.map { Double($0) - normalizer }
  }
}
