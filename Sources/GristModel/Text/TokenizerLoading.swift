import GristCore
import GristSources

extension Source {
  /// The tokenizer of a model: of the kinds that its family uses, the first whose file is there.
  ///
  /// - Throws: 66 when there is none, 65 when the file is damaged or asks for what this version does not do.
  package func tokenizer(_ kinds: [TokenizerKind]) throws -> any Tokenizer {
    for kind in kinds {
      guard let bytes = try sideFile(named: kind.fileName) else { continue }
      let place = joinPath(path, kind.fileName)
      let files = sideFiles
      switch kind {
      case .sentencePiece:
        let isLegacy = try files.json("tokenizer_config.json")?.bool("legacy", default: true) ?? true
        // Who asks for SentencePiece's own file first asks as upstream does, chunk by chunk.
        let prefixes: SentencePieceTokenizer.Prefixes =
          isLegacy ? .all : kinds.first == .sentencePiece ? .chunks : .text
        return try SentencePieceTokenizer(model: bytes, file: place, prefixes: prefixes)
      case .tokenizers:
        let settings = try ["tokenizer_config.json", "special_tokens_map.json"].compactMap { try files.json($0) }
        return try BytePairTokenizer(tokenizerFile: bytes, file: place, settings: settings)
      }
    }
    throw GristError(
      .missingInput, "the model has no tokenizer", file: path,
      advice: "put its \(kinds.map(\.fileName).joined(separator: " or ")) into the checkpoint's folder")
  }
}
