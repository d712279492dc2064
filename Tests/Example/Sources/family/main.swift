import GristmillKit

// A Mistral that its makers gave a name of their own: what is said here is all that the library has to be told.
struct TinyChat: ModelFamily {
  let name = "tiny_chat"
  let architectures = ["TinyChatForCausalLM"]
  let modelTypes = ["tiny_chat"]
  let maps: [NameMap] = []

  func configuration(_ json: JSONReader, _ files: SideFiles) throws -> ModelConfiguration {
    let language = try LanguageConfiguration(json, backbone: .mistral, absences: .areErrors)
    return ModelConfiguration(
      family: name, language: language, vision: nil, format: .builtIn(.mistralInstruct),
      tokenizers: [.tokenizers, .sentencePiece])
  }
}

// family CHECKPOINT MODEL.grist
let options = SourceOptions(families: [TinyChat()] + ModelFamilies.builtIn)
let source = try Source.open(path: CommandLine.arguments[1], options: options)
try Conversion(source, pool: ThreadPool(threads: 2)).run(to: AtomicFile(path: CommandLine.arguments[2], kind: .grist))
let file = try Source.open(path: CommandLine.arguments[2], options: options)
print(try file.configuration().family)
