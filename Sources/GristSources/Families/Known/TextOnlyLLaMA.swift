import GristCore

/// A text-only LLaMA or Mistral, as transformers writes it: upstream's names for the same tensors.
package struct TextOnlyLLaMA: ModelFamily {
  package let name = "llama"
  package let architectures = ["LlamaForCausalLM", "MistralForCausalLM"]
  package let modelTypes = ["llama", "mistral"]
  package let maps: [NameMap] = []

  package init() {}

  package func configuration(_ json: JSONReader, _ files: SideFiles) throws -> ModelConfiguration {
    let backbone: Backbone = json.names(anyOf: ["MistralForCausalLM"], orType: "mistral") ? .mistral : .llama
    try backbone.keys.check(json, ignoring: files.ignoredKeys)
    return ModelConfiguration(
      family: name, language: try LanguageConfiguration(json, backbone: backbone, absences: .areErrors), vision: nil,
      format: try files.format(default: backbone == .mistral ? .mistralInstruct : .vicuna, seesPictures: false),
      tokenizers: [.tokenizers, .sentencePiece])
  }
}
