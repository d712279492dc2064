import GristCore
import GristImaging
import GristSources

/// Inputs without meaning, the same for the same seed, for measuring how fast a model is: what they hold does not
/// change how long they take.
extension VisionLanguageModel {
  /// Ids drawn from the whole vocabulary.
  package func syntheticTokens(_ count: Int, seed: UInt64) -> [Int] {
    var generator = SplitMix64(state: seed)
    return (0..<count).map { _ in Int.random(in: 0..<configuration.vocabularySize, using: &generator) }
  }

  /// A prompt of exactly `rows` rows, however long the model's prompts may otherwise be.
  ///
  /// - Throws: What reading the embeddings throws.
  package func syntheticPrompt(rows: Int, seed: UInt64) throws -> PreparedPrompt {
    let ids = syntheticTokens(rows, seed: seed)
    return PreparedPrompt(
      inputIDs: ids, decision: nil, isAskedTwice: nil, granularity: nil, tiles: 0, rows: try embed(ids))
  }

  /// A square picture of noise, two of the tower's tiles wide; nil for a text-only model.
  ///
  /// - Throws: 65 when the tower's tiles are larger than a picture may be.
  package func syntheticImage(seed: UInt64) throws -> RGBImage? {
    guard let tile = configuration.vision?.tower.imageSize else { return nil }
    var generator = SplitMix64(state: seed)
    let pixels = (0..<12 * tile * tile).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    return try RGBImage(width: 2 * tile, height: 2 * tile, pixels: pixels)
  }

  /// Reads the weights of the decoder's first layer: what a prompt's first row waits for before anything is computed.
  ///
  /// - Throws: 65 when one of its tensors is missing, damaged or of another shape.
  package func loadFirstLayer() throws { try language.loadFirstLayer() }
}
