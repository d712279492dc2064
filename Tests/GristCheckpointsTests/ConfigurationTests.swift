import GristCheckpoints
import GristCore
import TestSupport
import Testing

/// A configuration that is fine, whose fields the tests break one at a time.
private let sound: JSONObject = [
  "architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava_llama", "hidden_size": 48,
  "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
  "vocab_size": 1024, "max_position_embeddings": 4096, "mm_vision_tower": "vision_tower",
  "mm_projector_type": "mlp2x_gelu", "vis_token_granularity": [36, 72, 144, 288, 576], "router_select": true,
]

private let soundTower: JSONObject = [
  "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 96,
  "patch_size": 4,
]

private func configuration(
  _ change: [String: JSONValue?] = [:], tower: [String: JSONValue?]? = [:], preprocessor: JSONValue? = nil
) throws -> ModelConfiguration {
  func changed(_ object: JSONObject, _ change: [String: JSONValue?]) -> Bytes {
    var object = object
    for (name, value) in change { object[name] = value }
    return Bytes(Array(JSONValue.object(object).text().utf8))
  }
  return try ModelConfiguration(path: "model") { name in
    switch name {
    case "config.json": changed(sound, change)
    case "vision_tower/config.json": tower.map { changed(soundTower, $0) }
    case "vision_tower/preprocessor_config.json": preprocessor.map { Bytes(Array($0.text().utf8)) }
    default: nil
    }
  }
}

private func failure(
  _ change: [String: JSONValue?] = [:], tower: [String: JSONValue?]? = [:], preprocessor: JSONValue? = nil,
  sourceLocation: SourceLocation = #_sourceLocation
) -> GristError? {
  #expect(throws: GristError.self, sourceLocation: sourceLocation) {
    _ = try configuration(change, tower: tower, preprocessor: preprocessor)
  }
}

@Suite("Configurations") struct ConfigurationTests {
  @Test("a sound one is read, with upstream's defaults")
  func sound() throws {
    let model = try configuration()
    #expect(model.headDimension == 12 && model.keyValueHeads == 2 && model.rmsNormEpsilon == 1e-6)
    #expect(model.ropeTheta == 10_000 && !model.tiesWordEmbeddings && model.maximumLength == 4096)
    #expect(model.projectorDepth == 2 && model.visionLayersRun == 2)
    #expect(model.granularities == [36, 72, 144, 288, 576] && model.router?.filteredTextTokens == 32)
    #expect(model.vision?.patches == 576 && model.vision?.patchWidth == 48)
    #expect(model.aspectRatio == .crop && model.patchMerge == .flat && model.normalization == .clip)
  }

  @Test(
    "a missing field is 65 and is named",
    arguments: ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"])
  func missing(field: String) {
    let error = failure([field: .some(nil)])
    #expect(error?.code == .badData)
    #expect(error?.file == "model/config.json")
    #expect(error?.what.hasPrefix("\"\(field)\" must be a whole number from 1 to") == true)
    #expect(error?.found == "nothing")
  }

  @Test(
    "a field of the wrong type or beyond reason is 65 and is named",
    arguments: [
      ("hidden_size", "48"), ("hidden_size", 0), ("hidden_size", -48), ("hidden_size", 48.5),
      ("hidden_size", 1_000_000), ("num_hidden_layers", true), ("num_hidden_layers", 100_000), ("vocab_size", [1024]),
      ("num_key_value_heads", 0), ("head_dim", 1), ("rope_theta", "1e4"), ("rms_norm_eps", [1]),
      ("tie_word_embeddings", "yes"), ("tie_word_embeddings", 1), ("max_position_embeddings", 0),
      ("mm_vision_tower", 7), ("mm_vision_select_layer", -5), ("mm_vision_select_layer", 4),
      ("mm_vision_select_feature", "cls_patch"), ("mm_projector_type", "resampler"),
      ("mm_projector_type", "mlp0x_gelu"),
      ("mm_projector_type", "mlpx_gelu"), ("mm_projector_type", "mlp99x_gelu"), ("hidden_act", "gelu"),
      ("attention_bias", true), ("mlp_bias", true), ("mm_use_im_start_end", true), ("mm_use_im_patch_token", true),
      ("image_aspect_ratio", "anyres_max_9"), ("mm_patch_merge_type", "unpad"), ("router_select", "yes"),
      ("vis_token_granularity", []), ("vis_token_granularity", [36, 36]), ("vis_token_granularity", [36, 0]),
      ("vis_token_granularity", [36, 577]), ("vis_token_granularity", [100]), ("filtered_text_num", -1),
    ] as [(String, JSONValue)])
  func wrong(field: String, value: JSONValue) {
    let error = failure([field: value])
    #expect(error?.code == .badData)
    #expect(error?.file == "model/config.json")
    #expect(error?.what.hasPrefix("\"\(field)\" must be ") == true, "\(error?.what ?? "")")
    #expect(error?.found == value.text())
  }

  @Test("numbers a rotation or a norm cannot be computed with", arguments: ["rope_theta", "rms_norm_eps"])
  func notPositive(field: String) {
    for value in [-1.0, 0, 1e300] as [JSONValue] where !(field == "rms_norm_eps" && value == 0) {
      #expect(failure([field: value])?.what.hasPrefix("\"\(field)\" must be ") == true)
    }
  }

  @Test("widths that do not divide")
  func notDivisible() {
    #expect(
      failure(["num_attention_heads": 5, "num_key_value_heads": 5])?.what
        == "\"num_attention_heads\" must be a divisor of hidden_size")
    #expect(failure(["num_key_value_heads": 3])?.what == "\"num_key_value_heads\" must be a divisor of 4 heads")
    #expect(
      failure(["num_attention_heads": 16])?.what == "\"num_attention_heads\" must be such that a head's width is even")
    #expect(
      failure(["hidden_size": 60, "num_attention_heads": 6])?.what
        == "\"hidden_size\" must be a multiple of the router's 8 heads")
  }

  @Test("scaled rotary embeddings are refused, the default ones are not")
  func ropeScaling() throws {
    let scaled: JSONValue = ["type": "linear", "factor": 2]
    #expect(failure(["rope_scaling": scaled])?.code == .badData)
    #expect(
      failure(["rope_scaling": scaled])?.what
        == "\"rope_scaling\" must be null: scaled rotary embeddings are not supported")
    #expect(failure(["rope_scaling": ["rope_type": "llama3"]])?.code == .badData)
    _ = try configuration(["rope_scaling": .null])
    _ = try configuration(["rope_scaling": ["rope_type": "default"]])
  }

  @Test(
    "image sizes for anyres", arguments: [[], [[96]], [[96, 0]], [[96, "96"]], 5, [[96, 96, 96]]] as [JSONValue])
  func pinpoints(places: JSONValue) {
    let error = failure(["image_aspect_ratio": "anyres", "image_grid_pinpoints": places])
    #expect(error?.what.hasPrefix("\"image_grid_pinpoints\" must be an array") == true)
  }

  @Test("an unknown architecture is 65, says which, and which are known")
  func unknownArchitecture() {
    let error = failure(["architectures": ["Qwen2ForCausalLM"]])
    #expect(error?.code == .badData)
    #expect(
      error?.description
        == "model/config.json: this version cannot run the architecture: found [\"Qwen2ForCausalLM\"]; it runs "
        + "LlavaLlamaForCausalLM, LlavaAVGLlamaForCausalLM")
    #expect(failure(["architectures": nil as JSONValue?, "model_type": "gpt2"])?.found == "none")
  }

  @Test("without a list of architectures, the model's type decides")
  func modelType() throws {
    _ = try configuration(["architectures": nil as JSONValue?])
  }

  @Test("a tower that is only named and not known is 66, and says what to do")
  func unknownTower() {
    let error = failure(["mm_vision_tower": "google/siglip-so400m"], tower: nil)
    #expect(error?.code == .missingInput)
    #expect(error?.found == "google/siglip-so400m")
    #expect(error?.advice == "pass the tower's folder with --vision-tower")
  }

  @Test("the tower that upstream names is known")
  func knownTower() throws {
    let model = try configuration(
      ["mm_vision_tower": "openai/clip-vit-large-patch14-336"], tower: nil)
    #expect(model.vision == .clipLarge336)
    #expect(model.visionLayersRun == 23)
  }

  @Test("without a tower the model reads text only")
  func textOnly() throws {
    let model = try configuration(["mm_vision_tower": .null])
    #expect(model.vision == nil && model.router == nil)
    #expect(!model.expectedTensors.contains { $0.name.contains("vision") || $0.name.contains("projector") })
  }

  @Test("no config.json is 66")
  func noConfiguration() {
    let error = #expect(throws: GristError.self) { _ = try ModelConfiguration(path: "model") { _ in nil } }
    #expect(error?.code == .missingInput)
    #expect(error?.description == "model: the model has no config.json")
  }

  @Test(
    "a tower's field that makes no sense is 65 and is named",
    arguments: [
      ("hidden_size", 0), ("num_attention_heads", 5), ("patch_size", 5), ("hidden_act", "relu"),
      ("num_channels", 1), ("image_size", "96"), ("layer_norm_eps", "x"),
    ] as [(String, JSONValue)])
  func wrongTower(field: String, value: JSONValue) {
    let error = failure(tower: [field: value])
    #expect(error?.code == .badData)
    #expect(error?.file == "model/vision_tower/config.json")
    #expect(error?.what.hasPrefix("\"\(field)\" must be ") == true)
  }

  @Test(
    "a preprocessor that would silently be got wrong is 65 and is named",
    arguments: [
      ("resample", 2), ("rescale_factor", 0.5), ("do_resize", false), ("do_normalize", false),
      ("image_mean", [0.5, 0.5]), ("image_std", [0.5, 0, 0.5]), ("size", ["shortest_edge": 224]), ("crop_size", 224),
    ] as [(String, JSONValue)])
  func wrongPreprocessor(field: String, value: JSONValue) {
    let error = failure(preprocessor: .object([field: value]))
    #expect(error?.code == .badData)
    #expect(error?.file == "model/vision_tower/preprocessor_config.json")
    #expect(error?.what.hasPrefix("\"\(field)\" must be ") == true)
  }
}

@Suite("Pooling grids") struct PoolingGridTests {
  @Test("upstream's granularities of a 24 × 24 grid")
  func upstream() {
    for (granularity, rows, columns, window) in [
      (576, 24, 24, [1, 1]), (288, 24, 12, [1, 2]), (144, 12, 12, [2, 2]), (72, 12, 6, [2, 4]), (36, 6, 6, [4, 4]),
    ] {
      let grid = PoolingGrid(granularity: granularity, side: 24)
      #expect(grid?.rows == rows && grid?.columns == columns)
      #expect(grid.map { [$0.windowRows, $0.windowColumns] } == window)
    }
  }

  @Test(
    "what a grid cannot be pooled to is nil", arguments: [(0, 24), (-1, 24), (100, 24), (577, 24), (36, 0), (1, -1)])
  func impossible(granularity: Int, side: Int) {
    #expect(PoolingGrid(granularity: granularity, side: side) == nil)
  }
}
