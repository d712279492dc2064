import GristCore

/// A CLIP vision tower's shape, from its `config.json`.
public struct VisionConfiguration: Sendable, Equatable {
  public enum Activation: String, Sendable {
    case quickGELU = "quick_gelu"
    case gelu
  }

  public let hiddenSize: Int
  public let intermediateSize: Int
  public let layers: Int
  public let heads: Int
  /// Tile width and height in pixels.
  public let imageSize: Int
  /// Patch width and height in pixels.
  public let patchSize: Int
  public let layerNormEpsilon: Float
  public let activation: Activation

  /// Patches along one side of a tile.
  public var gridSize: Int { imageSize / patchSize }
  public var patches: Int { gridSize * gridSize }
  /// Values in one patch: 3 colours × patch × patch.
  public var patchWidth: Int { 3 * patchSize * patchSize }

  /// openai/clip-vit-large-patch14-336, whose configuration upstream checkpoints only name.
  public static let clipLarge336 = VisionConfiguration(
    hiddenSize: 1024, intermediateSize: 4096, layers: 24, heads: 16, imageSize: 336, patchSize: 14,
    layerNormEpsilon: 1e-5, activation: .quickGELU)
  public static let clipLarge336Name = "openai/clip-vit-large-patch14-336"

  init(
    hiddenSize: Int, intermediateSize: Int, layers: Int, heads: Int, imageSize: Int, patchSize: Int,
    layerNormEpsilon: Float, activation: Activation
  ) {
    self.hiddenSize = hiddenSize
    self.intermediateSize = intermediateSize
    self.layers = layers
    self.heads = heads
    self.imageSize = imageSize
    self.patchSize = patchSize
    self.layerNormEpsilon = layerNormEpsilon
    self.activation = activation
  }

  /// Reads a CLIP vision configuration, also one nested under `vision_config`. Absent fields have the defaults of
  /// transformers' `CLIPVisionConfig`.
  ///
  /// - Throws: 65 naming the field that makes no sense.
  public init(_ document: JSONReader) throws {
    let json = document.has("vision_config") ? try document.object("vision_config") : document
    hiddenSize = try json.integer("hidden_size", in: 1...65_536, default: 768)
    intermediateSize = try json.integer("intermediate_size", in: 1...1_048_576, default: 3072)
    layers = try json.integer("num_hidden_layers", in: 1...1024, default: 12)
    heads = try json.integer("num_attention_heads", in: 1...1024, default: 12)
    imageSize = try json.integer("image_size", in: 1...16_384, default: 224)
    patchSize = try json.integer("patch_size", in: 1...1024, default: 32)
    layerNormEpsilon = Float(try json.double("layer_norm_eps", default: 1e-5))
    let name = try json.string("hidden_act", default: "quick_gelu")
    guard let activation = Activation(rawValue: name) else {
      throw json.failure("hidden_act", "quick_gelu or gelu")
    }
    self.activation = activation
    guard try json.integer("num_channels", in: 1...16, default: 3) == 3 else {
      throw json.failure("num_channels", "3")
    }
    guard hiddenSize % heads == 0 else { throw json.failure("num_attention_heads", "a divisor of hidden_size") }
    guard imageSize % patchSize == 0 else { throw json.failure("patch_size", "a divisor of image_size") }
  }
}

extension JSONReader {
  /// - Throws: 65 for the configuration of a tower of another kind than CLIP's: `clip`, or its part
  ///   `clip_vision_model`.
  func requireCLIP() throws {
    let kind = try string("model_type", default: "clip_vision_model")
    guard ["clip", "clip_vision_model"].contains(kind) else {
      throw GristError(
        .badData, "this version cannot run the vision tower", file: file, found: kind, advice: "it runs CLIP's")
    }
  }
}
