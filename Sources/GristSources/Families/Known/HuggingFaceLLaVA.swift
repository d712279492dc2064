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
    // What the model is comes before what its settings are: who cannot run it needs no advice on keys.
    let text = try json.object("text_config")
    let backbone = try Backbone(text)
    let nested = json.has("vision_config") ? try json.object("vision_config") : nil
    try nested?.requireCLIP()
    try ConfigurationKeys.huggingFace.check(json, ignoring: files.ignoredKeys)
    try backbone.keys.check(text, ignoring: files.ignoredKeys)
    if let nested { try ConfigurationKeys.tower.check(nested, ignoring: files.ignoredKeys) }
    // Said outside since transformers 5 and inside before; its configuration takes either.
    let tied = try [json, text].contains { try $0.bool("tie_word_embeddings", default: false) }
    let language = try LanguageConfiguration(text, backbone: backbone, absences: .areDefaults, tied: tied)
    let tower = try nested.map { try VisionConfiguration($0) } ?? .clipLarge336
    return ModelConfiguration(
      family: name, language: language, vision: try Self.vision(json, tower, files),
      format: try files.format(default: Self.ownTemplate(backbone, files), seesPictures: true),
      tokenizers: [.tokenizers, .sentencePiece])
  }

  /// How a model is asked that brings no template. BakLLaVA is a Mistral that was taught by LLaVA's own conversations.
  private static func ownTemplate(_ backbone: Backbone, _ files: SideFiles) -> PromptTemplate {
    let isBakLLaVA = files.folderName?.lowercased().contains(bytesOf: "bakllava") == true
    return backbone == .mistral && !isBakLLaVA ? .mistral : .llava
  }

  private static func vision(
    _ json: JSONReader, _ tower: VisionConfiguration, _ files: SideFiles
  ) throws -> VisionInput {
    guard try json.string("vision_feature_select_strategy", default: "default") == "default" else {
      throw json.failure("vision_feature_select_strategy", "default: the patches without the class token")
    }
    guard try json.string("projector_hidden_act", default: "gelu") == "gelu" else {
      throw json.failure("projector_hidden_act", "gelu")
    }
    guard try json.bool("multimodal_projector_bias", default: true) else {
      throw json.failure("multimodal_projector_bias", "true")
    }
    let settings = try files.imageProcessor()
    let isNext = json.names(anyOf: ["LlavaNextForConditionalGeneration"], orType: "llava_next")
    let processor = try settings.map {
      try ImageProcessor($0, tileSize: tower.imageSize, for: isNext ? .tiles : .cut, ignoring: files.ignoredKeys)
    }
    let aspectRatio: VisionInput.AspectRatio =
      isNext
      ? .anyResolution(try pinpoints(settings, json))
      : processor?.aspectRatio ?? .crop(shortestEdge: tower.imageSize)
    return VisionInput(
      tower: tower, towerName: "vision_config", layersRun: try tower.layersRun(json, "vision_feature_layer"),
      normalization: processor?.normalization ?? .clip,
      aspectRatio: aspectRatio, projectorDepth: 2, patchMerge: isNext ? .spatial(unpad: true) : .flat,
      unpadding: .roundsFirst, turnsPictures: true, takesSeveralPictures: true)
  }

  /// The processor's own list cuts the picture, the model's puts it together: they must be the same.
  ///
  /// - Throws: 65 when they are not.
  private static func pinpoints(_ processor: JSONReader?, _ json: JSONReader) throws -> [PictureSize] {
    let key = "image_grid_pinpoints"
    let model = json.has(key) ? try json.sizes(key, .heightFirst) : defaultPinpoints
    if let processor, processor.has(key), try processor.sizes(key, .heightFirst) != model {
      throw processor.failure(key, "those of config.json")
    }
    return model
  }

  /// Those of transformers' `LlavaNextConfig`.
  private static let defaultPinpoints = [(672, 336), (336, 672), (672, 672), (336, 1008), (1008, 336)].map {
    PictureSize(width: $0.0, height: $0.1)
  }
}
