import GristCore

/// The vision encoder of KerasHub's CLIP, alone or in a backbone: a tower that answers nothing by itself.
package struct KerasHubCLIP: ModelFamily {
  package let name = "keras_hub_clip"
  package let isRunnable = false
  package let architectures = ["CLIPBackbone", "CLIPVisionEncoder"]
  package let modelTypes: [String] = []
  package var maps: [NameMap] { [BundledMaps.kerasHubCLIP] }

  package init() {}

  func recognises(_ json: JSONReader) -> Bool {
    json.value("class_name")?.string.map(architectures.contains) ?? false
  }

  private static let keys = ConfigurationKeys(
    honoured: [
      "patch_size", "hidden_dim", "num_layers", "num_heads", "intermediate_dim", "intermediate_activation",
      "image_shape", "intermediate_output_index", "data_format",
    ],
    harmless: ["name", "trainable", "dtype"], refused: [:])

  /// Always throws: 65.
  package func configuration(_ json: JSONReader, _ files: SideFiles) throws -> ModelConfiguration {
    throw GristError.towerAlone(json, found: json.value("class_name"))
  }

  package func inventory(_ json: JSONReader, _ files: SideFiles) throws -> ModelInventory {
    ModelInventory(
      family: name, tensors: TowerTensors(try Self.tower(json, ignoring: files.ignoredKeys)).all,
      configuration: nil)
  }

  /// The tower that a `config.json` of this family describes.
  ///
  /// - Throws: 65 naming the field that makes no sense.
  package static func tower(_ document: JSONReader, ignoring ignored: Set<String> = []) throws -> VisionConfiguration {
    var json = try document.object("config")
    if json.has("vision_encoder") { json = try json.object("vision_encoder").object("config") }
    try keys.check(json, ignoring: ignored)
    let shape = try json.integers("image_shape", in: 1...16_384)
    guard shape.count == 3, shape[0] == shape[1], shape[2] == 3 else {
      throw json.failure("image_shape", "[side, side, 3]")
    }
    guard try json.string("data_format", default: "channels_last") == "channels_last" else {
      throw json.failure("data_format", "channels_last")
    }
    guard
      let activation = VisionConfiguration.Activation(
        rawValue: try json.string("intermediate_activation", default: "quick_gelu"))
    else { throw json.failure("intermediate_activation", "quick_gelu or gelu") }
    let hiddenSize = try json.integer("hidden_dim", in: 1...65_536)
    let heads = try json.integer("num_heads", in: 1...1024)
    let patchSize = try json.integer("patch_size", in: 1...1024)
    guard hiddenSize % heads == 0 else { throw json.failure("num_heads", "a divisor of hidden_dim") }
    guard shape[0] % patchSize == 0 else { throw json.failure("patch_size", "a divisor of the image's side") }
    // Whether an output in between is given away changes nothing here: who runs the tower says how far.
    return VisionConfiguration(
      hiddenSize: hiddenSize, intermediateSize: try json.integer("intermediate_dim", in: 1...1_048_576),
      layers: try json.integer("num_layers", in: 1...1024), heads: heads, imageSize: shape[0], patchSize: patchSize,
      layerNormEpsilon: 1e-5, activation: activation)
  }
}
