import GristCore

extension JSONReader {
  /// The ids that end an answer, one or a list; nil where the file names none.
  ///
  /// - Parameter size: how many ids the model knows.
  ///
  /// - Throws: 65 for what is no id of the model's.
  func endTokens(vocabulary size: Int) throws -> Set<Int>? {
    guard let value = value("eos_token_id") else { return nil }
    let ids = value.array ?? [value]
    let known = ids.compactMap(\.integer).filter { (0..<size).contains($0) }
    guard !ids.isEmpty, known.count == ids.count else {
      throw failure("eos_token_id", "a token id from 0 to \(size - 1), or a list of them")
    }
    return Set(known)
  }
}

extension SideFiles {
  /// The ids that end an answer by `generation_config.json`, which transformers asks instead of `config.json` where it
  /// is there: Llama 3's instructed models name the end of a turn only there. Nil where it is not there or names none.
  ///
  /// - Throws: 65 for what is no id of the model's.
  func generationEndTokens(vocabulary size: Int) throws -> Set<Int>? {
    try json(GenerationSettings.fileName)?.endTokens(vocabulary: size)
  }
}
