/// What a verification demands.
public struct VerificationLimits: Sendable, Equatable {
  /// A choice that differs is a tie, reported but not held against the model, when the reference's two greatest logits
  /// were closer than this.
  public var tieMargin: Double
  /// The largest mean KL divergence that passes, in nats a token.
  public var maximumMeanKL: Double
  /// Whether a model that has a router passes only when choices were tested.
  public var requiresChoices: Bool
  /// Whether a model passes only when it was made from the reference's own weights.
  public var requiresSameWeights: Bool

  public init(
    tieMargin: Double = 0.02, maximumMeanKL: Double = 0.05, requiresChoices: Bool = true,
    requiresSameWeights: Bool = true
  ) {
    self.tieMargin = tieMargin
    self.maximumMeanKL = maximumMeanKL
    self.requiresChoices = requiresChoices
    self.requiresSameWeights = requiresSameWeights
  }
}
