import GristCore

/// AVG-LLaVA, LLaVA-1.5 and LLaVA-NeXT as their own training code writes them. The canonical names are theirs.
public struct UpstreamLLaVA: ModelFamily {
  public let name = "llava"
  public let architectures = [
    "LlavaLlamaForCausalLM", "LlavaAVGLlamaForCausalLM", "LlavaMistralForCausalLM", "Share4VLlamaForCausalLM",
  ]
  // transformers calls its own kind "llava" too, but always names the architecture.
  public let modelTypes = ["llava_llama", "llava", "llava_mistral", "share4v"]
  public let maps: [NameMap] = []

  public init() {}

  public func configuration(_ json: JSONReader, _ files: SideFiles) throws -> ModelConfiguration {
    let backbone: Backbone =
      json.names(anyOf: ["LlavaMistralForCausalLM"], orType: "llava_mistral") ? .mistral : .llama
    try backbone.keys.check(json, ignoring: files.ignoredKeys)
    let language = try LanguageConfiguration(json, backbone: backbone, absences: .areErrors)
    for flag in ["mm_use_im_start_end", "mm_use_im_patch_token"] where try json.bool(flag, default: false) {
      throw json.failure(flag, "false: this version does not compute it")
    }
    guard try json.string("mm_vision_select_feature", default: "patch") == "patch" else {
      throw json.failure("mm_vision_select_feature", "patch")
    }
    let towerName = try json.string("mm_vision_tower", default: "")
    let projectorDepth = try Self.projectorDepth(json)
    guard !towerName.isEmpty else {
      return ModelConfiguration(
        family: name, language: language, vision: nil,
        format: try Self.format(json, files, backbone, seesPictures: false))
    }
    let tower = try Self.tower(files, named: towerName, json)
    let aspectRatio = try Self.aspectRatio(json)
    let settings = try files.imageProcessor(in: SideFiles.towerFolder) ?? files.imageProcessor()
    let processor = try settings.map {
      try ImageProcessor($0, tileSize: tower.imageSize, for: aspectRatio.use, ignoring: files.ignoredKeys)
    }
    let router = try Self.router(json, side: tower.gridSize, width: language.hiddenSize)
    let patchMerge = try Self.patchMerge(json)
    let vision = VisionInput(
      tower: tower, towerName: towerName, layersRun: try tower.layersRun(json, "mm_vision_select_layer"),
      normalization: processor?.normalization ?? .clip,
      aspectRatio: aspectRatio.ratio ?? processor?.aspectRatio ?? .crop(shortestEdge: tower.imageSize),
      projectorDepth: projectorDepth, patchMerge: patchMerge,
      unpadding: files.options.correctsUnpadding == true ? .byCells : .truncates,
      granularities: router?.granularities, router: router, usesRouter: router != nil && patchMerge != .flat)
    return ModelConfiguration(
      family: router == nil ? name : "avg_llava", language: language, vision: vision,
      format: try Self.format(json, files, backbone, seesPictures: true))
  }

  /// The format that was asked for; only where none was, the files that tell upstream's are read.
  private static func format(
    _ json: JSONReader, _ files: SideFiles, _ backbone: Backbone, seesPictures: Bool
  ) throws -> ConversationFormat {
    if let chosen = try files.chosenFormat(seesPictures: seesPictures) { return chosen }
    let conversation = try UpstreamConversation(json, files, backbone: backbone)
    return .familyDefault(conversation.template, sign: conversation.reason)
  }

  private static func projectorDepth(_ json: JSONReader) throws -> Int {
    let name = try json.string("mm_projector_type", default: "linear")
    if name == "linear" { return 1 }
    if name.hasPrefix("mlp"), name.hasSuffix("x_gelu"), let depth = Int(name.dropFirst(3).dropLast(6)),
      (1...16).contains(depth)
    {
      return depth
    }
    throw json.failure("mm_projector_type", "linear or mlpNx_gelu")
  }

  private static func tower(_ files: SideFiles, named name: String, _ json: JSONReader) throws -> VisionConfiguration {
    if let configuration = try files.json(SideFiles.towerConfigurationName) {
      if KerasHubCLIP().recognises(configuration) {
        return try KerasHubCLIP.tower(configuration, ignoring: files.ignoredKeys)
      }
      let nested = configuration.has("vision_config") ? try configuration.object("vision_config") : nil
      try configuration.requireCLIP()
      try nested?.requireCLIP()
      try ConfigurationKeys.tower.check(configuration, ignoring: files.ignoredKeys)
      if let nested { try ConfigurationKeys.tower.check(nested, ignoring: files.ignoredKeys) }
      return try VisionConfiguration(configuration)
    }
    if name == VisionConfiguration.clipLarge336Name { return .clipLarge336 }
    throw GristError(
      .missingInput, "the vision tower that \"mm_vision_tower\" names is neither a folder here nor known",
      file: json.file, found: name, advice: "pass the tower's folder with --vision-tower")
  }

  /// What becomes of a picture, nil where the image processor says; and what it does with what comes of that.
  private static func aspectRatio(
    _ json: JSONReader
  ) throws -> (ratio: VisionInput.AspectRatio?, use: ImageProcessor.Use) {
    switch try json.string("image_aspect_ratio", default: "square") {
    case "anyres": (.anyResolution(try json.sizes("image_grid_pinpoints", .widthFirst)), .tiles)
    case "pad": (.pad, .square)
    case "square": (nil, .cut)
    default: throw json.failure("image_aspect_ratio", "anyres, pad or absent")
    }
  }

  private static func patchMerge(_ json: JSONReader) throws -> VisionInput.PatchMerge {
    let name = try json.string("mm_patch_merge_type", default: "flat")
    switch name {
    case "flat": return .flat
    case "spatial", "spatial_unpad": return .spatial(unpad: name == "spatial_unpad")
    default: throw json.failure("mm_patch_merge_type", "flat, spatial or spatial_unpad")
    }
  }

  private static func router(_ json: JSONReader, side: Int, width: Int) throws -> GranularityRouting? {
    guard try json.bool("router_select", default: false) else { return nil }
    let granularities = try json.integers("vis_token_granularity", in: 1...side * side)
    guard !granularities.isEmpty, Set(granularities).count == granularities.count else {
      throw json.failure("vis_token_granularity", "a list of different token counts")
    }
    for granularity in granularities where PoolingGrid(granularity: granularity, side: side) == nil {
      throw json.failure("vis_token_granularity", "token counts that a \(side)×\(side) grid can be pooled to")
    }
    let heads = 8
    guard width % heads == 0 else { throw json.failure("hidden_size", "a multiple of the router's 8 heads") }
    let tokens = try json.integer("filtered_text_num", in: 0...65_536, default: 32)
    return GranularityRouting(
      granularities: granularities, filteredTextTokens: tokens, heads: heads, width: width, side: side)
  }
}

extension VisionConfiguration {
  /// How many layers are run to reach the features that a configuration's key selects: -1 is after the last.
  ///
  /// - Throws: 65 for a layer that the tower does not have.
  func layersRun(_ json: JSONReader, _ key: String) throws -> Int {
    let selected = try json.integer(key, in: -layers - 1...layers, default: -2)
    return selected < 0 ? layers + 1 + selected : selected
  }
}

extension JSONReader {
  /// Which extent of a picture comes first in a list of two.
  enum ExtentOrder: String {
    case widthFirst = "[width, height]"
    case heightFirst = "[height, width]"
  }

  /// A list of pictures' sizes, or the text of one: trainers keep what stood on their command line, and upstream reads it as a
  /// literal of Python's (`ast.literal_eval`).
  ///
  /// - Throws: 65 when it is none.
  func sizes(_ key: String, _ order: ExtentOrder) throws -> [PictureSize] {
    let places = try value(key)?.string.map(Self.literal) ?? array(key)
    let sizes = places.compactMap { place -> PictureSize? in
      guard let extents = place.array?.compactMap(\.integer), extents.count == 2, place.array?.count == 2,
        let first = extents.first, let last = extents.last, [first, last].allSatisfy((1...65_536).contains)
      else { return nil }
      return order == .widthFirst ? PictureSize(width: first, height: last) : PictureSize(width: last, height: first)
    }
    guard !sizes.isEmpty, sizes.count == places.count else { throw failure(key, "an array of \(order.rawValue)") }
    return sizes
  }

  /// A list of Python's of lists or tuples of numbers; empty for anything else.
  private static func literal(_ text: String) -> [JSONValue] {
    // With brackets alike and no comma before one that closes, it is JSON.
    var json = ""
    for character in text {
      switch character {
      case "(": json.append("[")
      case ")", "]":
        while json.last == " " { json.removeLast() }
        if json.last == "," { json.removeLast() }
        json.append("]")
      case "[", ",", "0"..."9": json.append(character)
      case _ where character.isWhitespace: json.append(" ")
      default: return []
      }
    }
    return (try? JSONValue.parse(json).array) ?? []
  }
}
