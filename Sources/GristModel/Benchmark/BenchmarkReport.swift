import GristKernels

/// How fast a model is on this machine, and what the machine allows.
package struct BenchmarkReport: Sendable {
  /// Tower and projector, or the router, on one picture.
  package struct Picture: Sendable {
    package let tiles: Int
    /// Seconds for all tiles together.
    package let seconds: Double
  }

  package struct Prefill: Sendable {
    package let rows: Int
    /// Seconds from the rows to the first logits.
    package let seconds: Double
    package var tokensPerSecond: Double { Double(rows) / seconds }
  }

  package struct Decode: Sendable {
    /// Rows in the cache before the first token.
    package let depth: Int
    package let tokens: Int
    /// Seconds for all tokens.
    package let seconds: Double
    /// Bytes a second that all threads read from memory right before and after, in the mean; nil where a budget leaves
    /// no room to try.
    package let memoryReadBytesPerSecond: Double?
    package var tokensPerSecond: Double { Double(tokens) / seconds }
  }

  /// What streams of the weights, where they are run within a budget.
  package struct Streaming: Sendable {
    package let plan: MemoryPlan
    /// Bytes of the file that were read for a decoded token, in the mean.
    package let bytesAPass: Int
    /// Of passes that compute, and of the same reading without computing, taken in turn.
    package let bytesPerSecond: Double
    package let readerBytesPerSecond: Double
    /// The median of the ratios of neighbouring passes.
    package let ofReader: Double
  }

  package let model: String
  /// What the weights were converted with; nil for a checkpoint folder.
  package let recipe: String?
  package let packing: String?
  package let threads: Int
  package let instructionSet: String
  package let activations: Compute.Activations
  package let repetitions: Int
  /// Seconds from opening the file to the first kernel's start: header, index, configuration, tokenizer, the first
  /// layer's weights.
  package let openSeconds: Double
  /// Seconds of the very first row, which reads, checks and maybe unpacks the decoder's other weights.
  package let firstRowSeconds: Double
  /// Nil for a text-only model.
  package let tower: Picture?
  /// Nil for a model without a router.
  package let router: Picture?
  package let prefill: [Prefill]
  package let decode: [Decode]
  package let cost: DecodingCost
  /// Bytes of keys and values that one row leaves in the cache.
  package let cacheBytesPerToken: Int
  /// Of the process up to here, the measurement of the machine's limits not counted in.
  package let peakResidentBytes: Int
  package let limits: MachineLimits
  /// Nil where nothing streams.
  package let streaming: Streaming?

  /// The most tokens a second that the machine allows for a prompt.
  package var prefillLimit: Double { limits.prefillRate(cost) }

  /// The most tokens a second that the machine allows for decoding at such a context, by what memory gave beside it.
  package func limit(of decode: Decode) -> Double {
    cost.decodeRate(
      bytesPerSecond: decode.memoryReadBytesPerSecond ?? limits.memoryReadBytesPerSecond,
      cacheBytes: decode.depth * cacheBytesPerToken)
  }
}
