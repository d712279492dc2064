import GristKernels

/// How fast a model is on this machine, and what the machine allows.
public struct BenchmarkReport: Sendable {
  /// Tower and projector, or the router, on one picture.
  public struct Picture: Sendable {
    public let tiles: Int
    /// Seconds for all tiles together.
    public let seconds: Double
  }

  public struct Prefill: Sendable {
    public let rows: Int
    /// Seconds from the rows to the first logits.
    public let seconds: Double
    public var tokensPerSecond: Double { Double(rows) / seconds }
  }

  public struct Decode: Sendable {
    /// Rows in the cache before the first token.
    public let depth: Int
    public let tokens: Int
    /// Seconds for all tokens.
    public let seconds: Double
    public var tokensPerSecond: Double { Double(tokens) / seconds }
  }

  public let model: String
  /// What the weights were converted with; nil for a checkpoint folder.
  public let recipe: String?
  public let packing: String?
  public let threads: Int
  public let instructionSet: String
  public let activations: Compute.Activations
  public let repetitions: Int
  /// Seconds from opening the file to the first kernel's start: header, index, configuration, tokenizer, the first
  /// layer's weights.
  public let openSeconds: Double
  /// Seconds of the very first row, which reads, checks and maybe unpacks the decoder's other weights.
  public let firstRowSeconds: Double
  /// Nil for a text-only model.
  public let tower: Picture?
  /// Nil for a model without a router.
  public let router: Picture?
  public let prefill: [Prefill]
  public let decode: [Decode]
  public let cost: DecodingCost
  /// Bytes of keys and values that one row leaves in the cache.
  public let cacheBytesPerToken: Int
  /// Of the process up to here, the measurement of the machine's limits not counted in.
  public let peakResidentBytes: Int
  public let limits: MachineLimits

  /// The most tokens a second that the machine allows for a prompt.
  public var prefillLimit: Double { limits.prefillRate(cost) }

  /// The most tokens a second that the machine allows for decoding behind `depth` rows.
  public func decodeLimit(depth: Int) -> Double {
    limits.decodeRate(cost, cacheBytes: depth * cacheBytesPerToken)
  }
}
