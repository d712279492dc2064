import GristCore

/// A kind of decoder, and what transformers' configuration class of it (`LlamaConfig`, `MistralConfig`) says where a
/// file is silent.
public enum Backbone: String, Sendable {
  case llama
  case mistral

  var keys: ConfigurationKeys {
    switch self {
    case .llama: .model
    case .mistral: .mistral
    }
  }

  var intermediateSize: Int {
    switch self {
    case .llama: 11_008
    case .mistral: 14_336
    }
  }

  /// Heads of keys and values of a decoder with `heads` heads.
  func keyValueHeads(_ heads: Int) -> Int {
    switch self {
    case .llama: heads
    case .mistral: 8
    }
  }

  var maximumPositions: Int {
    switch self {
    case .llama: 2048
    case .mistral: 131_072
    }
  }

  /// How many rows a row attends to, itself among them; nil for all before it. A Mistral that does not mention its
  /// window has one of 4096 rows; `null` says that it has none.
  ///
  /// - Throws: 65 for what is no window.
  func slidingWindow(_ json: JSONReader) throws -> Int? {
    switch self {
    case .llama: return nil
    case .mistral:
      guard json.object["sliding_window"] != nil else { return 4096 }
      return json.has("sliding_window") ? try json.integer("sliding_window", in: 1...16_777_216) : nil
    }
  }

  /// The kind that a decoder's own configuration names; LLaMA where it names none.
  ///
  /// - Throws: 65 for a decoder of another kind.
  init(_ json: JSONReader) throws {
    let name = try json.string("model_type", default: Backbone.llama.rawValue)
    guard let backbone = Backbone(rawValue: name) else {
      throw GristError(
        .badData, "this version cannot run the language model", file: json.file, found: name,
        advice: "it runs llama and mistral")
    }
    self = backbone
  }
}
