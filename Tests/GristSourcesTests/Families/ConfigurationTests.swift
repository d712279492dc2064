import GristCore
import GristSources
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
  _ change: [String: JSONValue?] = [:], tower: [String: JSONValue?]? = [:], preprocessor: JSONValue? = nil,
  ignoring ignored: Set<String> = []
) throws -> ModelConfiguration {
  func changed(_ object: JSONObject, _ change: [String: JSONValue?]) -> Bytes {
    var object = object
    for (name, value) in change { object[name] = value }
    return Bytes(Array(JSONValue.object(object).text().utf8))
  }
  return try ModelConfiguration(path: "model", options: ConfigurationOptions(ignoredKeys: ignored)) { name in
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
    #expect(model.rotary == RotaryEmbedding(base: 10_000) && !model.tiesWordEmbeddings && model.maximumLength == 4096)
    #expect(model.vision?.projectorDepth == 2 && model.vision?.layersRun == 2)
    #expect(
      model.granularities == [36, 72, 144, 288, 576] && (model.router as? GranularityRouting)?.filteredTextTokens == 32)
    #expect(model.vision?.tower.patches == 576 && model.vision?.tower.patchWidth == 48)
    #expect(model.vision?.aspectRatio == .crop(shortestEdge: 96) && model.vision?.patchMerge == .flat)
    #expect(
      model.vision?.normalization == .clip && model.vision?.unpadding == .truncates
        && model.format.builtInTemplate == .vicuna)
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

  @Test("Fault 6: rotary frequencies are transformers', in both spellings")
  func rotaryFrequencies() throws {
    let cases = try #require(Fixtures.json("configurations/rope.json").array)
    #expect(cases.count == 24)
    for item in cases {
      let json = try JSONReader(#require(item["config"]), file: "config.json")
      let dimension = try #require(item["dimension"]?.integer)
      let found = try RotaryEmbedding(json).inverseFrequencies(dimension: dimension)
      let expected = try #require(item["inverse_frequencies"]).floats
      #expect(found.count == expected.count)
      for (a, b) in zip(found, expected) { #expect(abs(a - b) <= 4e-7 * b, "\(item["config"]?.text() ?? "")") }
    }
  }

  @Test("Fault 6: rope_parameters reach the model")
  func ropeParameters() throws {
    let parameters: JSONValue = ["rope_type": "linear", "factor": 4, "rope_theta": 500_000.0]
    let expected = RotaryEmbedding(base: 500_000, scaling: .linear(factor: 4))
    #expect(try configuration(["rope_parameters": parameters]).rotary == expected)
    #expect(
      try configuration(["rope_scaling": ["type": "linear", "factor": 4], "rope_theta": 500_000]).rotary == expected)
    #expect(try configuration(["rope_scaling": .null]).rotary == RotaryEmbedding(base: 10_000))
    #expect(try configuration(["rope_scaling": ["rope_type": "default"]]).rotary == RotaryEmbedding(base: 10_000))
  }

  @Test(
    "Fault 6: a scaling that is not computed, or contradicts itself, is refused by name",
    arguments: [
      (["rope_scaling": ["type": "dynamic", "factor": 2]], "\"rope_scaling.type\" must be default, linear or llama3"),
      (
        ["rope_parameters": ["rope_type": "yarn", "factor": 2]], "\"rope_parameters.rope_type\" must be default, linear"
      ),
      (["rope_parameters": ["rope_type": "longrope"]], "\"rope_parameters.rope_type\" must be"),
      (["rope_scaling": ["type": "linear"]], "\"rope_scaling.factor\" must be"),
      (["rope_scaling": ["type": "linear", "factor": -1]], "\"rope_scaling.factor\" must be a positive number"),
      (["rope_parameters": ["rope_type": "default", "beta_fast": 32]], "\"rope_parameters.beta_fast\" is not known"),
      (["rope_parameters": ["partial_rotary_factor": 0.5]], "\"rope_parameters.partial_rotary_factor\" must be 1"),
      (["rope_parameters": ["rope_theta": 5], "rope_theta": 6], "\"rope_theta\" must be the same"),
      (
        ["rope_parameters": ["rope_theta": 5], "rope_scaling": ["type": "linear", "factor": 2]],
        "\"rope_scaling\" must be absent"
      ),
    ] as [([String: JSONValue], String)])
  func refusedScaling(change: [String: JSONValue], message: String) {
    let error = failure(change.mapValues { $0 })
    #expect(error?.code == .badData)
    #expect(error?.what.hasPrefix(message) == true, "\(error?.what ?? "")")
  }

  @Test("Fault 6: every key of transformers' configurations is on a list")
  func transformersKeys() throws {
    let document = try Fixtures.json("configurations/transformers-5.json")
    for (name, keys) in [("model", ConfigurationKeys.model), ("tower", .tower), ("clip", .tower)] {
      let json = try JSONReader(#require(document[name]), file: name)
      try keys.check(json, ignoring: [])
      #expect(json.object.names.count > 20 || name == "clip")
    }
  }

  @Test("Docs/configuration.md shows the lists")
  func documented() throws {
    let page = try #require(readFile(Fixtures.path("../../Docs/configuration.md")).utf8)
    for keys in [ConfigurationKeys.model, .mistral, .tower, .imageProcessor, .processor, .huggingFace] {
      for key in keys.honoured.union(keys.harmless).union(keys.refused.keys) {
        #expect(page.contains("`\(key)`"), "\(key)")
      }
    }
  }

  @Test("Fault 6: a key on no list is refused by name, unless it is ignored on purpose")
  func unknownKeys() throws {
    let error = failure(["flux_capacitor": 1.21])
    #expect(error?.what == "\"flux_capacitor\" is a setting that this version does not know")
    #expect(error?.advice?.contains("--ignore-key flux_capacitor") == true)
    #expect(failure(["sliding_window": 4096])?.what == "\"sliding_window\" asks for what this version does not compute")
    #expect(failure(tower: ["quantization_config": ["bits": 4]])?.file == "model/vision_tower/config.json")
    _ = try configuration(["sliding_window": .null, "partial_rotary_factor": 1.0])
    _ = try configuration(["flux_capacitor": 1.21], ignoring: ["flux_capacitor"])
  }

  @Test(
    "image sizes for anyres",
    arguments: [
      [], [[96]], [[96, 0]], [[96, "96"]], 5, [[96, 96, 96]], "", "[[96, 96]", "[(96, 96, 96)]", "96", "[[96, x]]",
      "(1x1),...,(6x6)", "[[96, -96]]", "__import__('os')", "[[9 6, 96]]", "[[96, 96]],",
    ] as [JSONValue])
  func pinpoints(places: JSONValue) {
    let error = failure(["image_aspect_ratio": "anyres", "image_grid_pinpoints": places])
    #expect(error?.what.hasPrefix("\"image_grid_pinpoints\" must be an array") == true)
  }

  @Test(
    "AVG-LLaVA's trainer keeps them as text",
    arguments: ["[[48, 96], [96, 48]]", "[(48,96),(96,48)]", " [(48, 96), [96, 48,],]\n"])
  func pinpointsAsText(text: String) throws {
    let read = try configuration(["image_aspect_ratio": "anyres", "image_grid_pinpoints": .string(text)])
    guard case .anyResolution(let sizes) = read.vision?.aspectRatio else {
      Issue.record("no list")
      return
    }
    #expect(sizes == [PictureSize(width: 48, height: 96), PictureSize(width: 96, height: 48)])
  }

  @Test("end tokens: generation_config.json's before config.json's; what is no id of the model's is refused")
  func endTokens() throws {
    func read(_ value: JSONValue, generation: JSONValue? = nil) throws -> Set<Int>? {
      let sound = try #require(JSONValue.parse(readFile(Fixtures.path("huggingface/llava-4/config.json"))).object)
      var changed = sound
      guard var text = sound["text_config"]?.object else { return nil }
      text["eos_token_id"] = value
      changed["text_config"] = .object(text)
      return try ModelConfiguration(path: "model") { name in
        switch name {
        case "config.json": Bytes(Array(JSONValue.object(changed).text().utf8))
        case "generation_config.json": generation.map { Bytes(Array($0.text().utf8)) }
        default: nil
        }
      }.endTokens
    }
    #expect(try read(3) == [3])
    #expect(try read([3, 4]) == [3, 4])
    #expect(try read(3, generation: ["eos_token_id": [5, 6]]) == [5, 6])
    #expect(try read(3, generation: ["temperature": 0.2]) == [3])
    #expect(try read(3, generation: ["eos_token_id": .null]) == [3])
    for wrong in [-1, 99_999_999, "2", [], [3, -1], [3, "4"], 2.5, true] as [JSONValue] {
      for error in [
        try #require(throws: GristError.self) { _ = try read(wrong) },
        try #require(throws: GristError.self) { _ = try read(3, generation: ["eos_token_id": wrong]) },
      ] {
        #expect(
          error.code == .badData && error.what.contains("eos_token_id\" must be a token id from 0 to"), "\(error)")
      }
    }
  }

  @Test("an unknown architecture is 65, says which, and which are known")
  func unknownArchitecture() {
    let error = failure(["architectures": ["Qwen2ForCausalLM"]])
    #expect(error?.code == .badData)
    #expect(
      error?.description
        == "model/config.json: this version cannot run the architecture: found [\"Qwen2ForCausalLM\"]; it runs "
        + "LlavaLlamaForCausalLM, LlavaAVGLlamaForCausalLM, LlavaMistralForCausalLM, Share4VLlamaForCausalLM, "
        + "LlavaForConditionalGeneration, LlavaNextForConditionalGeneration, LlamaForCausalLM, MistralForCausalLM, "
        + "LlamaBackbone, LlamaCausalLM, Llama3Backbone, Llama3CausalLM")
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
    #expect(model.vision?.tower == .clipLarge336)
    #expect(model.vision?.layersRun == 23)
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
      ("image_mean", [0.5, 0.5]), ("image_std", [0.5, 0, 0.5]), ("size", ["shortest_edge": 80]), ("crop_size", 224),
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
