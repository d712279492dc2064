import GristCore

/// KerasHub's text-only LLaMA 2 and 3: a backbone or a CausalLM, as Keras writes its `config.json`.
package struct KerasHubLLaMA: ModelFamily {
  package let name = "keras_hub_llama"
  package let architectures = ["LlamaBackbone", "LlamaCausalLM", "Llama3Backbone", "Llama3CausalLM"]
  package let modelTypes: [String] = []
  package var maps: [NameMap] { [BundledMaps.kerasHubLLaMA] }

  package init() {}

  private static let keys = ConfigurationKeys(
    honoured: [
      "vocabulary_size", "num_layers", "num_query_heads", "hidden_dim", "intermediate_dim", "num_key_value_heads",
      "rope_max_wavelength", "rope_position_scaling_factor", "rope_frequency_adjustment_factor", "rope_low_freq_factor",
      "rope_high_freq_factor", "rope_pretraining_sequence_length", "layer_norm_epsilon", "tie_word_embeddings",
    ],
    harmless: ["name", "trainable", "dtype", "dropout"], refused: [:])

  package func configuration(_ json: JSONReader, _ files: SideFiles) throws -> ModelConfiguration {
    var json = try json.object("config")
    if json.has("backbone") { json = try json.object("backbone").object("config") }
    try Self.keys.check(json, ignoring: files.ignoredKeys)
    // Keras says no more than the name of the tokenizer; SentencePiece's own file is put beside the weights.
    return ModelConfiguration(
      family: name, language: try Self.language(json), vision: nil,
      format: try files.chosenFormat(seesPictures: false) ?? .familyDefault(.vicuna),
      tokenizers: [.sentencePiece])
  }

  private static func language(_ json: JSONReader) throws -> LanguageConfiguration {
    let hiddenSize = try json.integer("hidden_dim", in: 1...65_536)
    let heads = try json.integer("num_query_heads", in: 1...1024)
    let keyValueHeads = try json.integer("num_key_value_heads", in: 1...1024)
    guard hiddenSize % heads == 0, hiddenSize / heads % 2 == 0 else {
      throw json.failure("num_query_heads", "such that a head's width is whole and even")
    }
    guard heads % keyValueHeads == 0 else { throw json.failure("num_key_value_heads", "a divisor of \(heads) heads") }
    let epsilon = Float(try json.double("layer_norm_epsilon", default: 1e-6))
    guard epsilon.isFinite, epsilon >= 0 else { throw json.failure("layer_norm_epsilon", "0 or more") }
    return LanguageConfiguration(
      vocabularySize: try json.integer("vocabulary_size", in: 1...16_777_216), hiddenSize: hiddenSize,
      intermediateSize: try json.integer("intermediate_dim", in: 1...1_048_576),
      layers: try json.integer("num_layers", in: 1...1024), heads: heads, keyValueHeads: keyValueHeads,
      headDimension: hiddenSize / heads, rmsNormEpsilon: epsilon, rotary: try rotary(json),
      tiesWordEmbeddings: try json.bool("tie_word_embeddings", default: false))
  }

  private static func rotary(_ json: JSONReader) throws -> RotaryEmbedding {
    func positive(_ key: String, default fallback: Double? = nil) throws -> Float {
      let value = Float(try json.double(key, default: fallback))
      guard value.isFinite, value > 0 else { throw json.failure(key, "a positive number") }
      return value
    }
    let base = try positive("rope_max_wavelength", default: RotaryEmbedding.defaultBase)
    // KerasHub 0.32 passes the factor on and computes without it.
    guard try positive("rope_position_scaling_factor", default: 1) == 1 else {
      throw json.failure("rope_position_scaling_factor", "1")
    }
    guard json.has("rope_frequency_adjustment_factor") else { return RotaryEmbedding(base: base) }
    let (low, high) = (try positive("rope_low_freq_factor"), try positive("rope_high_freq_factor"))
    guard low < high else { throw json.failure("rope_high_freq_factor", "above rope_low_freq_factor, \(low)") }
    return RotaryEmbedding(
      base: base,
      scaling: .llama3(
        factor: try positive("rope_frequency_adjustment_factor"), lowFactor: low, highFactor: high,
        originalLength: try positive("rope_pretraining_sequence_length")))
  }
}
