import GristCore

/// What the names in a folder say about its weights.
struct WeightFolder {
  enum Format { case safetensors, torch, hdf5, keras }

  /// What is to be opened.
  enum Choice {
    case safetensors(String)
    case safetensorsIndex(String)
    case torch(String)
    case torchIndex(String)
    case hdf5
    case keras(String)
  }

  /// Without what a Mac leaves beside files for what other systems cannot keep with them.
  let names: [String]

  init(names: [String]) { self.names = names.filter { !$0.hasPrefix("._") } }

  /// The format that a file's name tells; nil for a file that holds no weights.
  static func format(of name: String) -> Format? {
    if name.hasSuffix(".safetensors") { return .safetensors }
    if name.hasSuffix(KerasArchive.ending) { return .keras }
    if HDF5Folder.holdsWeights([name]) { return .hdf5 }
    return TorchFile.endings.contains { name.hasSuffix($0) } ? .torch : nil
  }

  /// Files that hold no model, by how their names begin, and what they are.
  private static let others: [(start: String, meaning: String)] = [
    ("adapter_model.", "a LoRA adapter"), ("non_lora_trainables.", "what was trained beside a LoRA adapter"),
    ("consolidated.", "a copy of the weights under Mistral's or Meta's own names"),
    ("mm_projector.", "a projector alone"),
    ("optimizer", "an optimizer's state"), ("scheduler.", "a training's state"), ("scaler.", "a training's state"),
    ("rng_state", "a training's state"), ("random_states", "a training's state"),
    ("training_args.", "a training's settings"), ("tf_model.", "the weights under TensorFlow's names"),
  ]

  private static func meaning(of name: String) -> String? { others.first { name.hasPrefix($0.start) }?.meaning }

  /// Files of a format that may be the model.
  private func candidates(_ format: Format) -> [String] {
    names.filter { Self.format(of: $0) == format && Self.meaning(of: $0) == nil }
  }

  /// - Throws: 66 when there are no weights, or nothing says which of several files are meant.
  func choice(at path: String) throws -> Choice {
    if names.contains("model.safetensors") { return .safetensors("model.safetensors") }
    if names.contains(WeightFiles.indexName) { return .safetensorsIndex(WeightFiles.indexName) }
    if let name = try only(.safetensors, at: path, index: WeightFiles.indexName) { return .safetensors(name) }
    if names.contains("pytorch_model.bin") { return .torch("pytorch_model.bin") }
    if names.contains(WeightFiles.torchIndexName) { return .torchIndex(WeightFiles.torchIndexName) }
    if HDF5Folder.holdsWeights(names.filter { !$0.hasPrefix("tf_model.") }) { return .hdf5 }
    if let name = try KerasArchive.name(among: names, folder: path) { return .keras(name) }
    if let name = try only(.torch, at: path, index: WeightFiles.torchIndexName) { return .torch(name) }
    if HDF5Folder.holdsWeights(names) { return .hdf5 }
    throw nothing(at: path)
  }

  private func only(_ format: Format, at path: String, index: String) throws -> String? {
    let names = candidates(format)
    guard names.count > 1 else { return names.first }
    throw GristError(
      .missingInput, "several files of weights but no \(index) that says which tensor is where", file: path,
      found: names.joined(separator: ", "), advice: "fetch the index too, or name the one file that is meant")
  }

  /// Why a folder without a model's weights has none, as far as its names tell.
  private func nothing(at path: String) -> GristError {
    let found = names.filter { Self.meaning(of: $0) != nil }
    let start = { (text: String) in names.contains { $0.hasPrefix(text) } }
    if start("adapter_model.") || names.contains("adapter_config.json") {
      return GristError(
        .missingInput, "a LoRA adapter, not a model", file: path, found: found.joined(separator: ", "),
        advice: start("non_lora_trainables.")
          ? "merge it first, with LLaVA's scripts/merge_lora_weights.py"
          : "merge it first: PeftModel.from_pretrained(MODEL, ADAPTER).merge_and_unload().save_pretrained(FOLDER)")
    }
    if start("consolidated.") {
      return GristError(
        .missingInput, "only weights under Mistral's or Meta's own names", file: path,
        found: found.joined(separator: ", "), advice: "fetch the model as transformers keeps it: model*.safetensors")
    }
    if start("mm_projector.") {
      return GristError(
        .missingInput, "a projector alone, not a model", file: path, found: found.joined(separator: ", "),
        advice: "fetch the model that it was trained for, or the one that came of it")
    }
    return GristError(
      .missingInput, "the folder holds no weights", file: path,
      found: found.isEmpty ? nil : found.joined(separator: ", "),
      advice: "name the folder that holds model.safetensors")
  }

  /// Other weights that stand beside the file that is taken: their names, and what there is to say about them.
  func passedOver(for name: String) -> (names: [String], notes: [String]) {
    guard name == "model.safetensors" || name == "pytorch_model.bin" else { return ([], []) }
    let index = name == "model.safetensors" ? WeightFiles.indexName : WeightFiles.torchIndexName
    let stem = name == "model.safetensors" ? "model-" : "pytorch_model-"
    let shards = names.filter { $0.hasPrefix(stem) && Self.format(of: $0) == Self.format(of: name) }
    guard names.contains(index) else { return ([], []) }
    return (
      [index] + shards,
      ["\(name) counts before \(index), as in transformers; \(shards.count) shards are left out"]
    )
  }

  /// What a file is that is left out, for a note; nil where its name says nothing.
  static func reason(toLeaveOut name: String) -> String? {
    name.hasPrefix("._") ? "what a Mac keeps beside a file" : meaning(of: name)
  }
}
