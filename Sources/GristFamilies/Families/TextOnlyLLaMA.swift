import GristCore

/// A LLaMA without eyes, as transformers writes it: upstream's names for the same tensors.
public struct TextOnlyLLaMA: ModelFamily {
  public let name = "llama"
  public let architectures = ["LlamaForCausalLM"]
  public let modelTypes = ["llama"]
  public let maps: [NameMap] = []

  public init() {}

  public func configuration(_ json: JSONReader, _ files: SideFiles) throws -> ModelConfiguration {
    try ConfigurationKeys.model.check(json, ignoring: files.ignoredKeys)
    return ModelConfiguration(
      family: name, language: try LanguageConfiguration(json, absences: .areErrors), vision: nil,
      format: try files.format(default: .vicuna, seesPictures: false),
      tokenizers: [.tokenizers, .sentencePiece])
  }
}
