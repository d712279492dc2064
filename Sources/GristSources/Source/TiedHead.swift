import GristCore

extension Checkpoint {
  /// The checkpoint, under canonical names, with the head that transformers would use: where `tie_word_embeddings` is
  /// true, a head that is stored and differs from the embeddings is used all the same, one that is the same is left
  /// out, and where the head alone is stored it is the embeddings too (`PreTrainedModel.tie_weights` of transformers
  /// 5).
  ///
  /// - Throws: What reading the two throws.
  func withTiedHead(_ configuration: ModelConfiguration?) throws -> Checkpoint {
    guard configuration?.tiesWordEmbeddings == true, let head = tensor(named: LanguageConfiguration.headName) else {
      return self
    }
    let others = tensors.filter { $0.name != head.name }
    guard let embeddings = tensor(named: LanguageConfiguration.tokenEmbeddingsName) else {
      return with(
        tensors: others + [head.renamed(LanguageConfiguration.tokenEmbeddingsName)],
        notes: ["the head is tied and stored alone: \(head.sourceName) is the token embeddings too"])
    }
    return try head.isSame(as: embeddings)
      ? with(
        tensors: others.map { $0.name == embeddings.name ? $0.known(as: head.sourceName) : $0 },
        notes: ["\(head.sourceName) is the token embeddings once more, and stored once"])
      : with(
        tensors: tensors,
        notes: [
          "\"tie_word_embeddings\" is true, but \(head.sourceName) is stored and differs from the token embeddings: it is "
            + "used, as transformers does"
        ])
  }
}

extension SourceTensor {
  /// Whether another tensor has the same type, shape and bytes.
  ///
  /// - Throws: What reading them throws.
  fileprivate func isSame(as other: SourceTensor) throws -> Bool {
    guard elementType == other.elementType, shape == other.shape else { return false }
    for start in stride(from: 0, to: byteCount, by: 4 << 20) {
      let range = start..<min(start + (4 << 20), byteCount)
      guard try bytes(range).elementsEqual(other.bytes(range)) else { return false }
      release(range)
      other.release(range)
    }
    return true
  }
}
