import GristCore
import GristSources
import TestSupport
import Testing

/// What stands beside published checkpoints, and what is made of it.
@Suite("Published checkpoints") struct PublishedTests {
  private let folder = try! TemporaryFolder()

  private static let upstream: JSONObject = [
    "architectures": ["LlavaLlamaForCausalLM"], "hidden_size": 48, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "vocab_size": 1024, "mm_vision_tower": "openai/clip-vit-large-patch14-336",
    "mm_projector_type": "mlp2x_gelu",
  ]

  private func read(
    _ change: [String: JSONValue], files: [String: JSONValue] = [:], of base: JSONObject = upstream,
    path: String = "model"
  ) throws -> ModelConfiguration {
    var json = base
    for (key, value) in change { json[key] = value }
    return try ModelConfiguration(path: path) { name in
      let file = name == "config.json" ? JSONValue.object(json) : files[name]
      return file.map { Bytes(Array($0.text().utf8)) }
    }
  }

  private func refusal(
    _ change: [String: JSONValue], files: [String: JSONValue] = [:], of base: JSONObject = upstream
  ) -> GristError? {
    #expect(throws: GristError.self) { _ = try read(change, files: files, of: base) }
  }

  private static let named: [(String, PromptTemplate)] = [
    ("llava-v1.5-7b", .llavaV1), ("llava-v1.6-vicuna-13b", .llavaV1), ("llava-llama-2-13b-chat", .llavaLlama2),
    ("llava-v1.6-mistral-7b", .mistralInstruct), ("llava-med-v1.5-mistral-7b", .mistralInstruct),
    ("llava-v1.6-34b", .chatmlDirect), ("llama3-llava-next-8b", .llavaLlama3), ("llava-llama-3-8b", .llavaLlama3),
    ("BakLLaVA-1", .vicuna), ("avg-llava", .vicuna),
  ]

  @Test("upstream's conversation is picked by the folder's name, as upstream picks it", arguments: named)
  func byFolder(name: String, template: PromptTemplate) throws {
    for place in [name, "models--someone--\(name)/snapshots/0123", "\(name)/checkpoint-500"] {
      try folder.write("\(place)/x", [])
      let format = try read([:], path: folder.file(place)).format
      #expect(format.builtInTemplate == template, "\(place)")
      #expect((format.toldTemplate == nil) == (name == "avg-llava"))
      if format.toldTemplate != nil { #expect(format.note?.contains("it is called ") == true) }
    }
    // A file has any name; what its configuration keeps counts.
    try folder.write("other/\(name).grist", [])
    #expect(try read([:], path: folder.file("other/\(name).grist")).format.toldTemplate == nil)
    #expect(try read(["_name_or_path": .string("./checkpoints/\(name)")]).format.builtInTemplate == template)
  }

  @Test("else by what the tokenizer knows, and by the backbone")
  func byTokenizer() throws {
    let llama3: JSONValue = ["added_tokens_decoder": ["128006": ["content": "<|start_header_id|>"]]]
    #expect(try read([:], files: ["tokenizer_config.json": llama3]).format.builtInTemplate == .llavaLlama3)
    let yi: JSONValue = ["<|im_end|>": 7]
    #expect(try read([:], files: ["added_tokens.json": yi]).format.builtInTemplate == .chatmlDirect)
    let fast: JSONValue = ["added_tokens": [["content": "<|eot_id|>"]]]
    #expect(try read([:], files: ["tokenizer.json": fast]).format.builtInTemplate == .llavaLlama3)
    let mistral = try read([
      "architectures": ["LlavaMistralForCausalLM"], "sliding_window": .null, "num_attention_heads": 8,
    ])
    #expect(mistral.format.note == "asked as mistral_instruct asks, as its language model is a Mistral")
    #expect(mistral.slidingWindow == nil)
    let avg = try read(["architectures": ["LlavaAVGLlamaForCausalLM"], "_name_or_path": "llava-v1.5-7b"])
    #expect(avg.format.builtInTemplate == .vicuna && avg.format.toldTemplate == nil)
  }

  @Test("upstream's conversations, word for word")
  func conversations() throws {
    let assistant =
      "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
      + "provides, and assist the user with a variety of tasks using natural language."
    let conversation = try Conversation(
      history: [.init(user: .init("A? ", pictures: 1), assistant: " B.")], message: .init("C?"))
    func text(_ template: PromptTemplate) -> String { template.text(conversation) }
    #expect(
      text(.llavaLlama2)
        == "[INST] <<SYS>>\n\(assistant)\n<</SYS>>\n\n<image>\nA?  [/INST]  B. </s><s>[INST] C? [/INST]")
    #expect(text(.mistralInstruct) == "[INST] <image>\nA?  [/INST]  B. </s>[INST] C? [/INST]")
    #expect(
      text(.chatmlDirect)
        == "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n<image>\nA? <|im_end|>"
        + "<|im_start|>assistant\n B.<|im_end|><|im_start|>user\nC?<|im_end|><|im_start|>assistant\n")
    #expect(
      text(.llavaLlama3)
        == "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n\(assistant)<|eot_id|>"
        + "<|start_header_id|>user<|end_header_id|>\n\n<image>\nA?<|eot_id|>"
        + "<|start_header_id|>assistant<|end_header_id|>\n\nB.<|eot_id|>"
        + "<|start_header_id|>user<|end_header_id|>\n\nC?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")
    #expect(
      text(.llavaV1)
        == "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
        + "detailed, and polite answers to the human's questions. USER: <image>\nA?  ASSISTANT:  B.</s>USER: C? ASSISTANT:"
    )
    #expect(PromptTemplate(name: "vicuna_v1") == .vicuna && PromptTemplate(name: "llava_v0") == nil)
  }

  private static let text: JSONObject = [
    "architectures": ["MistralForCausalLM"], "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 8, "vocab_size": 1024,
  ]

  @Test("what a Mistral does not say is as transformers has it")
  func mistral() throws {
    let model = try read([:], of: Self.text)
    #expect(model.slidingWindow == 4096 && model.keyValueHeads == 8 && model.maximumLength == 131_072)
    #expect(model.format.builtInTemplate == .mistralInstruct)
    #expect(try read(["sliding_window": .null], of: Self.text).slidingWindow == nil)
    #expect(try read(["sliding_window": 100], of: Self.text).slidingWindow == 100)
    #expect(refusal(["sliding_window": 0], of: Self.text)?.what.hasPrefix("\"sliding_window\" must be") == true)
  }

  @Test("keys of published LLaMAs are known")
  func llamaKeys() throws {
    let smol: [String: JSONValue] = [
      "architectures": ["LlamaForCausalLM"], "is_llama_config": true, "rope_interleaved": false,
      "transformers.js_config": ["dtype": "q4"],
    ]
    _ = try read(smol, of: Self.text)
    #expect(refusal(["rope_interleaved": true], of: Self.text)?.what.contains("rope_interleaved") == true)
  }

  private static let next: JSONObject = {
    let document = try? Fixtures.json("huggingface/next-5/config.json").object
    return document ?? JSONObject()
  }()

  @Test("what a model is comes before its settings: no advice on keys for what cannot be run")
  func order() throws {
    var text = try #require(Self.next["text_config"]?.object)
    text["model_type"] = "qwen2"
    text["use_sliding_window"] = true
    let qwen = refusal(["text_config": .object(text), "odd_key": 1], of: Self.next)
    #expect(qwen?.what == "this version cannot run the language model" && qwen?.found == "qwen2")
    var vision = try #require(Self.next["vision_config"]?.object)
    vision["model_type"] = "siglip_vision_model"
    let siglip = refusal(["vision_config": .object(vision), "odd_key": 1], of: Self.next)
    #expect(siglip?.what == "this version cannot run the vision tower" && siglip?.found == "siglip_vision_model")
  }

  @Test("a nested Mistral is read as one")
  func nestedMistral() throws {
    var text = try #require(Self.next["text_config"]?.object)
    text["model_type"] = "mistral"
    text["sliding_window"] = .null
    let model = try read(["text_config": .object(text)], of: Self.next)
    #expect(model.slidingWindow == nil)
  }

  @Test("processor_config.json counts before preprocessor_config.json")
  func processor() throws {
    let old: JSONValue = ["image_mean": [0.5, 0.5, 0.5], "size": ["shortest_edge": 56]]
    let new: JSONValue = ["image_processor": ["image_mean": [0.25, 0.25, 0.25]], "patch_size": 14]
    func mean(_ files: [String: JSONValue]) throws -> Float? {
      try read([:], files: files, of: Self.next).vision?.normalization.mean[0]
    }
    #expect(try mean(["preprocessor_config.json": old]) == 0.5)
    #expect(try mean(["preprocessor_config.json": old, "processor_config.json": new]) == 0.25)
    #expect(try mean(["preprocessor_config.json": old, "processor_config.json": ["patch_size": 14]]) == 0.5)
    let full = refusal([:], files: ["processor_config.json": ["vision_feature_select_strategy": "full"]], of: Self.next)
    #expect(full?.what.contains("vision_feature_select_strategy") == true)
  }

  private static let refusedSettings: [(String, JSONObject)] = [
    ("do_center_crop", ["do_center_crop": false, "size": ["shortest_edge": 56]]), ("resample", ["resample": 2]),
    ("rescale_factor", ["rescale_factor": 1]), ("do_resize", ["do_resize": false]),
    ("do_pad", ["do_pad": true, "image_processor_type": "CLIPImageProcessor"]),
    ("size", ["size": ["height": 64, "width": 56]]),
    ("size", ["size": ["longest_edge": 56]]), ("size", ["size": ["shortest_edge": 40]]),
    ("crop_size", ["crop_size": 40]), ("image_processor_type", ["image_processor_type": "SiglipImageProcessor"]),
    ("image_processor_type", ["image_processor_type": "LlavaNextImageProcessor"]),
    ("image_mean", ["image_mean": [1, 2]]),
    ("sharpen", ["sharpen": true]), ("do_convert_rgb", ["do_convert_rgb": false]),
  ]

  private static let llava: JSONObject = {
    let document = try? Fixtures.json("huggingface/llava-5/config.json").object
    return document ?? JSONObject()
  }()

  @Test("settings of a processor are honoured exactly or refused by name", arguments: refusedSettings)
  func settings(key: String, change: JSONObject) {
    let error = refusal([:], files: ["preprocessor_config.json": .object(change)], of: Self.llava)
    #expect(error?.what.contains("\"\(key)\"") == true, "\(error?.description ?? "")")
    #expect(error?.file == "model/preprocessor_config.json")
  }

  @Test("how a picture becomes one tile")
  func scaling() throws {
    func ratio(_ settings: JSONValue) throws -> VisionInput.AspectRatio? {
      try read([:], files: ["preprocessor_config.json": settings], of: Self.llava).vision?.aspectRatio
    }
    #expect(try ratio(["size": ["shortest_edge": 56]]) == .crop(shortestEdge: 56))
    #expect(try ratio(["size": ["shortest_edge": 70], "crop_size": 56]) == .crop(shortestEdge: 70))
    #expect(try ratio(["size": ["height": 56, "width": 56]]) == .stretch)
    #expect(try ratio(["size": ["height": 56, "width": 56], "do_center_crop": false]) == .stretch)
    #expect(try ratio(["do_pad": true, "image_processor_type": "LlavaImageProcessor"]) == .pad)
    #expect(try ratio(["size": 56]) == .crop(shortestEdge: 56))
  }

  @Test("sampling settings are told, those that change nothing are not")
  func generation() throws {
    func settings(_ json: JSONValue) throws -> [String]? {
      try read([:], files: ["generation_config.json": json]).generation?.settings
    }
    #expect(
      try settings(["do_sample": true, "temperature": 0.6, "top_p": 0.9]) == [
        "do_sample", "temperature 0.6", "top_p 0.9",
      ])
    #expect(try settings(["temperature": 0.6, "bos_token_id": 1]) == nil)
    #expect(try settings(["do_sample": false, "top_p": 1.0, "repetition_penalty": 1.1]) == ["repetition_penalty 1.1"])
  }

  @Test("pictures are turned as each family's loader does, unless told otherwise")
  func orientation() throws {
    #expect(try read([:], of: Self.next).vision?.turnsPictures == true)
    #expect(try read([:]).vision?.turnsPictures == false)
    let config = JSONValue.object(Self.upstream).text()
    let told = try ModelConfiguration(path: "model", options: ConfigurationOptions(turnsPictures: true)) {
      $0 == "config.json" ? Bytes(Array(config.utf8)) : nil
    }
    #expect(told.vision?.turnsPictures == true)
  }
}
