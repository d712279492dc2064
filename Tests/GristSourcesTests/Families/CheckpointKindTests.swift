import GristCore
import GristSources
import TestSupport
import Testing

/// Tied heads, wrappers' prefixes, and checkpoints that are quantized already.
@Suite("Kinds of checkpoints") struct CheckpointKindTests {
  private let folder = try! TemporaryFolder()
  private static let source = Fixtures.path("huggingface/mistral")

  /// The small Mistral with other tensors and settings.
  private func write(
    config: [String: JSONValue] = [:], _ change: (SourceTensor) -> [(name: String, bytes: [UInt8])]
  ) throws {
    var json = try #require(JSONValue.parse(readFile(Self.source + "/config.json")).object)
    for (key, value) in config { json[key] = value }
    try folder.write("config.json", Array(JSONValue.object(json).text().utf8))
    let source = try Checkpoint(path: Self.source)
    let tensors = source.tensors.flatMap { tensor in change(tensor).map { (tensor, $0.name, $0.bytes) } }
    var (header, data) = (JSONObject(), [UInt8]())
    for (tensor, name, bytes) in tensors {
      header[name] = [
        "dtype": JSONValue(tensor.elementType.rawValue.uppercased()), "shape": JSONValue(tensor.shape),
        "data_offsets": JSONValue([data.count, data.count + bytes.count]),
      ]
      data += bytes
    }
    let text = Array(JSONValue.object(header).text().utf8)
    try folder.write(
      "model.safetensors", (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text + data)
  }

  private func bytes(_ tensor: SourceTensor) -> [UInt8] { (try? tensor.bytes().array) ?? [] }
  private func same(_ tensor: SourceTensor) -> [(name: String, bytes: [UInt8])] { [(tensor.name, bytes(tensor))] }
  private func read() throws -> Checkpoint { try canonicalCheckpoint(folder.path) }
  private func configuration(_ checkpoint: Checkpoint) throws -> ModelConfiguration {
    let stores = checkpoint.tensor(named: "lm_head.weight") != nil
    return try ModelConfiguration(path: folder.path, storesHead: stores) { checkpoint.sideFile(named: $0) }
  }

  @Test("a head that is stored and differs is used though it is said to be tied, and that is told")
  func otherHead() throws {
    try write(config: ["tie_word_embeddings": true], same)
    let checkpoint = try read()
    #expect(checkpoint.tensor(named: "lm_head.weight") != nil)
    #expect(checkpoint.notes.contains { $0.hasPrefix("\"tie_word_embeddings\" is true, but lm_head.weight is stored") })
    #expect(try !configuration(checkpoint).tiesWordEmbeddings)
  }

  @Test("a head that is the embeddings once more is stored once")
  func sameHead() throws {
    let embeddings = try #require(Checkpoint(path: Self.source).tensor(named: "model.embed_tokens.weight"))
    try write(config: ["tie_word_embeddings": true]) {
      [($0.name, bytes($0.name == "lm_head.weight" ? embeddings : $0))]
    }
    let checkpoint = try read()
    #expect(checkpoint.tensor(named: "lm_head.weight") == nil)
    #expect(try configuration(checkpoint).tiesWordEmbeddings)
  }

  @Test("a tied head that is stored alone is the embeddings too")
  func headAlone() throws {
    try write(config: ["tie_word_embeddings": true]) { $0.name == "model.embed_tokens.weight" ? [] : same($0) }
    let checkpoint = try read()
    #expect(checkpoint.tensor(named: "model.embed_tokens.weight")?.sourceName == "lm_head.weight")
    #expect(checkpoint.tensor(named: "lm_head.weight") == nil)
    #expect(checkpoint.notes.contains { $0.hasPrefix("the head is tied and stored alone") })
  }

  @Test(
    "what a wrapper puts before every name is taken off, and told",
    arguments: ["module.", "_orig_mod.", "base_model.model.", "_orig_mod.module."])
  func prefixes(prefix: String) throws {
    try write { [(prefix + $0.name, bytes($0))] }
    let checkpoint = try read()
    #expect(checkpoint.tensor(named: "lm_head.weight")?.sourceName == prefix + "lm_head.weight")
    #expect(checkpoint.notes.contains { $0.hasPrefix("names are read without ") })
  }

  @Test("matrices of LoRA are no model")
  func lora() throws {
    try write { [("base_model.model." + $0.name.replacing("weight", with: "lora_A.weight"), bytes($0))] }
    let error = #expect(throws: GristError.self) { _ = try read() }
    #expect(error?.what == "a LoRA adapter, not a model" && error?.tensor?.hasSuffix(".lora_A.weight") == true)
  }

  @Test("what is computed from the configuration is kept and used for nothing, with one note for all layers")
  func omissions() throws {
    try write { tensor in
      let layer = tensor.name.replacing("q_proj.weight", with: "rotary_emb.inv_freq")
      return same(tensor) + (layer == tensor.name ? [] : [(layer, bytes(tensor))])
    }
    let checkpoint = try read()
    let kept = checkpoint.tensors.filter { $0.name.hasSuffix("inv_freq") }
    #expect(kept.count == 3 && kept.allSatisfy { $0.origin.unused == "computed from the configuration" })
    #expect(checkpoint.notes == ["3 tensors are kept, and used for nothing: computed from the configuration"])
    // Some programs save them, and some do not: the weights are the same.
    let fingerprint = try checkpoint.fingerprint()
    try write(same)
    #expect(try read().fingerprint() == fingerprint)
  }

  private static let methods: [(JSONValue, String)] = [
    (["quant_method": "gptq", "bits": 4], "gptq, 4 bits"), (["quant_method": "awq", "bits": 4], "awq, 4 bits"),
    (["load_in_8bit": true], "load_in_8bit"), (["quant_method": "fp8"], "fp8"), ([:], "a method that it does not name"),
  ]

  @Test("a configuration that says so", arguments: methods)
  func quantizedByConfiguration(settings: JSONValue, method: String) throws {
    try write(config: ["quantization_config": settings, "odd_key": 1], same)
    let error = #expect(throws: GristError.self) { _ = try read() }
    #expect(error?.what == "the checkpoint is quantized already, by another method than ours")
    #expect(error?.found == method && error?.advice?.contains("--ignore-key") == false)
  }

  @Test(
    "a file beside the weights that says so",
    arguments: [
      ("hf_quant_config.json", #"{"quantization": {"quant_algo": "FP8"}}"#, "ModelOpt, FP8"),
      ("quantize_config.json", #"{"bits": 4}"#, "GPTQ, 4 bits"), ("quant_config.json", #"{"w_bit": 4}"#, "AWQ, 4 bits"),
    ])
  func quantizedByFile(name: String, text: String, method: String) throws {
    try write(same)
    try folder.write(name, Array(text.utf8))
    let error = #expect(throws: GristError.self) { _ = try read() }
    #expect(error?.found == method && error?.file == folder.file(name))
  }

  @Test("tensors that only a quantized checkpoint has", arguments: ["qweight", "weight_scale", "SCB", "weight_packed"])
  func quantizedByTensors(name: String) throws {
    try write { tensor in
      same(tensor)
        + (tensor.name.hasSuffix("up_proj.weight")
          ? [(tensor.name.replacing("weight", with: name), bytes(tensor))] : [])
    }
    let error = #expect(throws: GristError.self) { _ = try read() }
    #expect(error?.what == "the checkpoint is quantized already, by another method than ours")
    #expect(error?.tensor?.hasSuffix(name) == true)
  }

  @Test("a Keras policy that quantizes")
  func kerasPolicy() throws {
    try write(config: ["dtype": ["class_name": "QuantizedDTypePolicy", "config": ["mode": "int8"]]], same)
    let error = #expect(throws: GristError.self) { _ = try read() }
    #expect(error?.found == "QuantizedDTypePolicy, int8")
  }
}
