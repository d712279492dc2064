import GristCore

/// CLIP as transformers writes it, whole or its vision tower alone: what LLaVA checkpoints are trained with.
package struct HuggingFaceCLIP: ModelFamily {
  package let name = "clip"
  package let isRunnable = false
  package let architectures = ["CLIPModel", "CLIPVisionModel", "CLIPVisionModelWithProjection"]
  package let modelTypes = ["clip", "clip_vision_model"]
  package var maps: [NameMap] { [BundledMaps.huggingFaceCLIP] }

  package init() {}

  /// Always throws: 65.
  package func configuration(_ json: JSONReader, _ files: SideFiles) throws -> ModelConfiguration {
    throw GristError.towerAlone(json, found: json.value("architectures") ?? json.value("model_type"))
  }

  package func inventory(_ json: JSONReader, _ files: SideFiles) throws -> ModelInventory {
    try ConfigurationKeys.tower.check(json, ignoring: files.ignoredKeys)
    return ModelInventory(
      family: name, tensors: TowerTensors(try VisionConfiguration(json)).all, configuration: nil)
  }
}

extension GristError {
  /// What a tower answers when it is asked something.
  static func towerAlone(_ json: JSONReader, found: JSONValue?) -> GristError {
    GristError(
      .badData, "a vision tower alone answers nothing", file: json.file, found: found?.text(),
      advice: "convert it to keep its weights, or run a model that has one")
  }
}
