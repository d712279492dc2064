/// Guesses what follows from what was there before: where the last few tokens stood earlier, what came behind them then.
///
/// Source: prompt lookup decoding (Saxena 2023), an n-gram draft without a second model.
package struct PromptLookup: Sendable {
  /// Guesses made at most. With one token they are few enough to be computed as each would be alone.
  package static let most = VisionLanguageModel.tokensAPass - 1
  /// Tokens that have to stand in the same order, the longest first.
  private static let lengths = [3, 2, 1]

  private var tokens: [Int]

  /// - Parameter tokens: of the prompt; what stands for a picture is no token.
  package init(_ tokens: [Int]) { self.tokens = tokens }

  package mutating func append(_ token: Int) { tokens.append(token) }

  /// What may follow, `limit` tokens at most.
  package func guesses(atMost limit: Int) -> [Int] {
    let limit = min(limit, Self.most)
    guard limit > 0 else { return [] }
    for length in Self.lengths where tokens.count > length {
      let last = tokens.suffix(length)
      // The latest place before: what was said last is what is said again.
      var start = tokens.count - length - 1
      while start >= 0 {
        if tokens[start..<start + length].elementsEqual(last) {
          let next = tokens[(start + length)...].prefix(limit).prefix { $0 >= 0 }
          if !next.isEmpty { return Array(next) }
        }
        start -= 1
      }
    }
    return []
  }
}
