import GristCore

/// LLaVA-1.5 and LLaVA-NeXT as transformers writes them: nested configurations, names of its own, and small differences
/// in what becomes of a picture (`Docs/families.md`).
public struct HuggingFaceLLaVA: ModelFamily {
  public let name = "hugging_face_llava"
  public let architectures = ["LlavaForConditionalGeneration", "LlavaNextForConditionalGeneration"]
  public let modelTypes = ["llava_next"]
  public var maps: [NameMap] { [BundledMaps.huggingFaceLLaVA] }

  public init() {}

  public func configuration(_ json: JSONReader, _ files: SideFiles) throws -> ModelConfiguration {
    try ConfigurationKeys.huggingFace.check(json, ignoring: files.ignoredKeys)
    let text = try json.object("text_config")
    try ConfigurationKeys.model.check(text, ignoring: files.ignoredKeys)
    guard try text.string("model_type", default: "llama") == "llama" else { throw text.failure("model_type", "llama") }
    // Whether embeddings are tied is said outside, and has been said inside.
    let tied = json.has("tie_word_embeddings") ? try json.bool("tie_word_embeddings", default: false) : nil
    let language = try LanguageConfiguration(text, absences: .areDefaults, tied: tied)
    return ModelConfiguration(
      family: name, language: language, vision: try Self.vision(json, files),
      format: try files.format(default: .llava, seesPictures: true), tokenizers: [.tokenizers, .sentencePiece])
  }

  private static func vision(_ json: JSONReader, _ files: SideFiles) throws -> VisionInput {
    let nested = try json.object("vision_config")
    try ConfigurationKeys.tower.check(nested, ignoring: files.ignoredKeys)
    guard try nested.string("model_type", default: "clip_vision_model") == "clip_vision_model" else {
      throw nested.failure("model_type", "clip_vision_model")
    }
    let tower = try VisionConfiguration(nested)
    guard try json.string("vision_feature_select_strategy", default: "default") == "default" else {
      throw json.failure("vision_feature_select_strategy", "default: the patches without the class token")
    }
    guard try json.string("projector_hidden_act", default: "gelu") == "gelu" else {
      throw json.failure("projector_hidden_act", "gelu")
    }
    guard try json.bool("multimodal_projector_bias", default: true) else {
      throw json.failure("multimodal_projector_bias", "true")
    }
    let processor = try files.json("preprocessor_config.json")
    let isNext =
      json.value("architectures")?.array?.contains { $0.string == "LlavaNextForConditionalGeneration" } ?? false
      || json.value("model_type")?.string == "llava_next"
    let aspectRatio: VisionInput.AspectRatio =
      isNext ? .anyResolution(try pinpoints(processor, json)) : .crop
    return VisionInput(
      tower: tower, towerName: "vision_config", layersRun: try tower.layersRun(json, "vision_feature_layer"),
      normalization: try processor.map { try ImageNormalization($0, tileSize: tower.imageSize) } ?? .clip,
      aspectRatio: aspectRatio, projectorDepth: 2, patchMerge: isNext ? .spatial(unpad: true) : .flat,
      unpadding: .roundsFirst)
  }

  /// As (width, height); transformers has the height first. The processor's own list cuts the picture, the model's puts
  /// it together: they must be the same.
  ///
  /// - Throws: 65 when they are not.
  private static func pinpoints(_ processor: JSONReader?, _ json: JSONReader) throws -> [[Int]] {
    let model = try json.extents("image_grid_pinpoints", "[height, width]")
    if let processor, processor.has("image_grid_pinpoints") {
      guard try processor.extents("image_grid_pinpoints", "[height, width]") == model else {
        throw processor.failure("image_grid_pinpoints", "those of config.json")
      }
    }
    return model.map { [$0[1], $0[0]] }
  }
}
