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

/// How pixels become the tower's input, from `preprocessor_config.json`.
public struct ImageNormalization: Sendable, Equatable {
  public let mean: [Float]
  public let standardDeviation: [Float]

  /// CLIP's own.
  public static let clip = ImageNormalization(
    mean: [0.48145466, 0.4578275, 0.40821073], standardDeviation: [0.26862954, 0.26130258, 0.27577711])

  init(mean: [Float], standardDeviation: [Float]) {
    self.mean = mean
    self.standardDeviation = standardDeviation
  }

  /// - Throws: 65 for settings this version would silently get wrong: another resampling filter, another rescaling.
  public init(_ json: JSONReader, tileSize: Int) throws {
    func triple(_ name: String, _ fallback: [Float]) throws -> [Float] {
      guard let values = json.value(name) else { return fallback }
      let numbers = values.array?.compactMap(\.double).map { Float($0) } ?? []
      guard numbers.count == 3, numbers.allSatisfy(\.isFinite) else { throw json.failure(name, "three numbers") }
      return numbers
    }
    mean = try triple("image_mean", Self.clip.mean)
    standardDeviation = try triple("image_std", Self.clip.standardDeviation)
    guard standardDeviation.allSatisfy({ $0 > 0 }) else { throw json.failure("image_std", "three positive numbers") }
    guard try json.integer("resample", in: 0...5, default: 3) == 3 else {
      throw json.failure("resample", "3 (bicubic)")
    }
    let factor = try json.double("rescale_factor", default: 1 / 255)
    guard abs(factor * 255 - 1) < 1e-9 else { throw json.failure("rescale_factor", "1/255") }
    for flag in ["do_resize", "do_rescale", "do_normalize"] where try !json.bool(flag, default: true) {
      throw json.failure(flag, "true")
    }
    for name in ["size", "crop_size"] {
      guard let size = json.value(name) else { continue }
      let extents = size.integer.map { [$0] } ?? size.object?.members.compactMap { $0.value.integer } ?? []
      guard !extents.isEmpty, extents.allSatisfy({ $0 == tileSize }) else {
        throw json.failure(name, "the tower's image_size, \(tileSize)")
      }
    }
  }
}
