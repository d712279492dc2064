import GristCore

/// The shape of a model of the LLaVA kind, whatever the file looked like that told it: what a ``ModelFamily`` makes of
/// a checkpoint's configuration. Tensor names are canonical; see ``expectedTensors``.
@dynamicMemberLookup
public struct ModelConfiguration: Sendable {
  /// The family that read it, as the manifest names it.
  public let family: String

  /// The language model's shape; its members are this value's too.
  public private(set) var language: LanguageConfiguration

  /// How pictures come in; nil for a text-only model.
  public private(set) var vision: VisionInput?
  /// How a conversation is written down.
  public let format: ConversationFormat
  /// Which of its tokenizer's files is read, the preferred first.
  public let tokenizers: [TokenizerKind]
  /// How the model's makers would have answers drawn; nil for greedily. Nothing here does it unasked.
  public private(set) var generation: GenerationSettings?

  public init(
    family: String, language: LanguageConfiguration, vision: VisionInput?, format: ConversationFormat,
    tokenizers: [TokenizerKind] = [.sentencePiece, .tokenizers]
  ) {
    self.family = family
    self.language = language
    self.vision = vision
    self.format = format
    self.tokenizers = tokenizers
  }

  public subscript<Value>(dynamicMember path: KeyPath<LanguageConfiguration, Value>) -> Value {
    language[keyPath: path]
  }

  /// With what other small files than the configuration say: which tokens end an answer, how answers are drawn; and
  /// with what was said about pictures.
  ///
  /// - Throws: 65 naming the field that makes no sense.
  func completed(by files: SideFiles) throws -> ModelConfiguration {
    var copy = self
    if let ends = try files.generationEndTokens(vocabulary: language.vocabularySize) { copy.language.endTokens = ends }
    copy.generation = try files.generationSettings()
    if let turns = files.options.turnsPictures { copy.vision?.turnsPictures = turns }
    return copy
  }

  /// The same model with a head that is not tied to the embeddings.
  func withOwnHead() -> ModelConfiguration {
    var copy = self
    copy.language.tiesWordEmbeddings = false
    return copy
  }

  /// The router; nil for a model that looks at pictures in one way only.
  public var router: (any Routing)? { vision?.router }

  /// Visual tokens that a tile may become, in the configuration's order. Without a router: all patches. Empty for a
  /// text-only model.
  public var granularities: [Int] { vision?.granularities ?? [] }
}

/// The language model's shape, from a LLaMA's or a Mistral's configuration.
public struct LanguageConfiguration: Sendable {
  public let vocabularySize: Int
  public let hiddenSize: Int
  public let intermediateSize: Int
  public let layers: Int
  public let heads: Int
  public let keyValueHeads: Int
  public let headDimension: Int
  public let rmsNormEpsilon: Float
  public let rotary: RotaryEmbedding
  public internal(set) var tiesWordEmbeddings: Bool
  /// The context: most rows of prompt and answer together, image rows counted in. The lesser of
  /// `max_position_embeddings` and `tokenizer_model_max_length`.
  public let maximumLength: Int
  /// How many rows a row attends to, itself among them; nil for all before it.
  public let slidingWindow: Int?
  /// Tokens that end an answer; nil where the configuration does not say.
  public internal(set) var endTokens: Set<Int>?

  /// A longest prompt where a configuration names none: what memory bounds long before.
  static let unboundedLength = 16_777_216

  init(
    vocabularySize: Int, hiddenSize: Int, intermediateSize: Int, layers: Int, heads: Int, keyValueHeads: Int,
    headDimension: Int, rmsNormEpsilon: Float, rotary: RotaryEmbedding, tiesWordEmbeddings: Bool,
    maximumLength: Int = unboundedLength, slidingWindow: Int? = nil, endTokens: Set<Int>? = nil
  ) {
    self.vocabularySize = vocabularySize
    self.hiddenSize = hiddenSize
    self.intermediateSize = intermediateSize
    self.layers = layers
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.headDimension = headDimension
    self.rmsNormEpsilon = rmsNormEpsilon
    self.rotary = rotary
    self.tiesWordEmbeddings = tiesWordEmbeddings
    self.slidingWindow = slidingWindow
    self.maximumLength = maximumLength
    self.endTokens = endTokens
  }

  /// Whether what a file leaves out has transformers' defaults for its ``Backbone``. A nested configuration says only
  /// what differs from them; one at the top level says everything that matters.
  public enum Absences: Sendable { case areErrors, areDefaults }

  /// - Throws: 65 naming the field that makes no sense or asks for what this version does not compute.
  ///
  /// - Parameters:
  ///   - json: the decoder's configuration.
  ///   - backbone: the decoder's kind.
  ///   - absences: what fields that are not there mean.
  ///   - tied: whether the head is the embedding table, where another file than `json` says so.
  public init(_ json: JSONReader, backbone: Backbone, absences: Absences, tied: Bool? = nil) throws {
    func size(_ name: String, _ range: ClosedRange<Int>, _ fallback: Int) throws -> Int {
      absences == .areErrors
        ? try json.integer(name, in: range) : try json.integer(name, in: range, default: fallback)
    }
    vocabularySize = try size("vocab_size", 1...16_777_216, 32_000)
    hiddenSize = try size("hidden_size", 1...65_536, 4096)
    intermediateSize = try size("intermediate_size", 1...1_048_576, backbone.intermediateSize)
    layers = try size("num_hidden_layers", 1...1024, 32)
    heads = try size("num_attention_heads", 1...1024, 32)
    keyValueHeads = try json.integer("num_key_value_heads", in: 1...1024, default: backbone.keyValueHeads(heads))
    guard heads % keyValueHeads == 0 else { throw json.failure("num_key_value_heads", "a divisor of \(heads) heads") }
    if json.has("head_dim") {
      headDimension = try json.integer("head_dim", in: 2...4096)
    } else {
      guard hiddenSize % heads == 0 else { throw json.failure("num_attention_heads", "a divisor of hidden_size") }
      headDimension = hiddenSize / heads
    }
    guard headDimension % 2 == 0 else {
      throw json.failure("num_attention_heads", "such that a head's width is even")
    }
    rmsNormEpsilon = Float(try json.double("rms_norm_eps", default: 1e-6))
    guard rmsNormEpsilon.isFinite, rmsNormEpsilon >= 0 else { throw json.failure("rms_norm_eps", "0 or more") }
    rotary = try RotaryEmbedding(json)
    tiesWordEmbeddings = try tied ?? json.bool("tie_word_embeddings", default: false)
    let positions = try json.integer("max_position_embeddings", in: 1...16_777_216, default: backbone.maximumPositions)
    maximumLength = min(
      positions, try json.integer("tokenizer_model_max_length", in: 1...16_777_216, default: positions))
    slidingWindow = try backbone.slidingWindow(json)
    endTokens = try json.endTokens(vocabulary: vocabularySize)
    guard try json.string("hidden_act", default: "silu") == "silu" else { throw json.failure("hidden_act", "silu") }
    for flag in ["attention_bias", "mlp_bias"] where try json.bool(flag, default: false) {
      throw json.failure(flag, "false: this version does not compute it")
    }
  }
}
