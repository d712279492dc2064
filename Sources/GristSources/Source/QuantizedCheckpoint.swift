import GristCore

extension Checkpoint {
  /// - Parameter ignored: configuration keys that are passed over on purpose.
  ///
  /// - Throws: 65 naming the method, for a checkpoint whose files say that its weights were quantized already.
  func requireUnquantized(ignoring ignored: Set<String>) throws {
    if !ignored.contains("quantization_config"), let bytes = sideFile(named: SideFiles.configurationName),
      let json = try? JSONReader(JSONValue.parse(bytes), file: joinPath(path, SideFiles.configurationName)),
      let method = Self.method(json)
    {
      throw Self.quantized(by: method, file: json.file)
    }
    for (name, method) in Self.settingsFiles where fileKind(at: joinPath(path, name)) == .file {
      let file = joinPath(path, name)
      guard let json = try? JSONReader(path: file) else { continue }
      let settings = (try? json.object("quantization")) ?? json
      let told = Self.description(settings)
      throw Self.quantized(by: told.map { "\(method), \($0)" } ?? method, file: file)
    }
  }

  /// - Parameter expected: what the checkpoint, under canonical names, should hold.
  ///
  /// - Throws: 65 naming the tensor, for weights that are codes of a method that is not ours.
  func requireUnquantized(_ expected: [ExpectedTensor]) throws {
    for tensor in tensors {
      guard let sign = Self.signs.first(where: { tensor.sourceName.hasSuffix($0.suffix) }) else { continue }
      throw Self.quantized(by: sign.method, file: tensor.file, tensor: tensor.sourceName)
    }
    for place in expected where place.kind == .linear || place.kind == .embedding {
      guard let tensor = tensor(named: place.name), !tensor.elementType.isFloatingPoint else { continue }
      throw Self.quantized(
        by: "weights of \(tensor.elementType.rawValue)", file: tensor.file, tensor: tensor.sourceName)
    }
  }

  /// Files that methods leave beside the weights.
  private static let settingsFiles = [
    ("hf_quant_config.json", "ModelOpt"), ("quantize_config.json", "GPTQ"), ("quant_config.json", "AWQ"),
  ]

  private static func quantized(by method: String, file: String, tensor: String? = nil) -> GristError {
    GristError(
      .badData, "the checkpoint is quantized already, by another method than ours", file: file, tensor: tensor,
      found: method, advice: "fetch the model at full precision: Gristmill quantizes it itself")
  }

  /// How names of tensors end that stand for codes or belong to them.
  private static let signs: [(suffix: String, method: String)] = [
    (".qweight", "GPTQ or AWQ"), (".qzeros", "GPTQ or AWQ"), (".weight_packed", "compressed-tensors"),
    (".weight_scale", "scales beside the weights"), (".weight_scale_inv", "FP8 in blocks"),
    (".weight_scale_2", "NVFP4"), (".SCB", "LLM.int8 of bitsandbytes"), (".weight.absmax", "bitsandbytes"),
    (".weight.quant_map", "bitsandbytes"),
  ]

  /// What a `config.json` says of its weights, transformers' or Keras's; nil where it says nothing.
  private static func method(_ json: JSONReader) -> String? {
    for place in [json, try? json.object("text_config")].compactMap({ $0 }) {
      for key in ["quantization_config", "compression_config"] where place.has(key) {
        return (try? place.object(key)).flatMap(description) ?? "a method that it does not name"
      }
    }
    return policy(.object(json.object), depth: 0)
  }

  private static func description(_ json: JSONReader) -> String? {
    let names = ["quant_method", "quant_algo", "quant_type", "_load_in_4bit", "load_in_4bit", "load_in_8bit"]
    let name = names.lazy.compactMap { key -> String? in
      guard let value = json.value(key) else { return nil }
      return value.string ?? (value == true ? key : nil)
    }.first
    let bits = ["bits", "w_bit", "num_bits"].lazy.compactMap { json.value($0)?.integer }.first
    let parts = [name?.shortened(), bits.map { "\($0) bits" }].compactMap { $0 }
    return parts.isEmpty ? nil : parts.joined(separator: ", ")
  }

  /// The mode of a Keras dtype policy that quantizes, wherever it stands.
  private static func policy(_ value: JSONValue, depth: Int) -> String? {
    guard depth < 32 else { return nil }
    if let object = value.object {
      if let name = object["class_name"]?.string, name.hasPrefix("Quantized") {
        return "\(name)\(object["config"]?["mode"]?.string.map { ", \($0)" } ?? "")".shortened()
      }
      return object.members.lazy.compactMap { policy($0.value, depth: depth + 1) }.first
    }
    return value.array?.lazy.compactMap { policy($0, depth: depth + 1) }.first
  }
}
