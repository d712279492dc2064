import GristCore

/// What a model makes of a question at each granularity: how well it gives an answer that is known.
public struct QuestionFeedback: Sendable, Equatable {
  /// Place among the questions.
  public let index: Int
  /// SHA-256 of the picture's file.
  public let picture: String
  public let tiles: Int
  /// Tokens of the prompt that the router sees, the most similar to the picture first.
  public let text: [Int]
  /// Loss at each granularity, in the configuration's order.
  public let losses: [Double]
  /// Rows of the prompt that show the picture, at each.
  public let visualTokens: [Int]
  /// What the model's own router chooses, as a place in that order; nil where it knows other granularities.
  public let choice: Int?
  /// Of the picture's features as they are kept, in hexadecimal.
  let featuresChecksum: String

  public init(
    index: Int, picture: String, tiles: Int, text: [Int], losses: [Double], visualTokens: [Int], choice: Int?,
    featuresChecksum: String
  ) {
    (self.index, self.picture, self.tiles, self.text) = (index, picture, tiles, text)
    (self.losses, self.visualTokens, self.choice) = (losses, visualTokens, choice)
    self.featuresChecksum = featuresChecksum
  }

  var json: JSONValue {
    [
      "index": JSONValue(index), "picture": JSONValue(picture), "tiles": JSONValue(tiles), "text": JSONValue(text),
      "losses": .array(losses.map { JSONValue($0) }), "visual_tokens": JSONValue(visualTokens),
      "choice": choice.map { JSONValue($0) } ?? .null, "features": JSONValue(featuresChecksum),
    ]
  }

  /// - Throws: 65 when a number is missing, or there are not as many as granularities.
  init(_ json: JSONReader, granularities: Int) throws {
    let losses = try json.array("losses").compactMap(\.double)
    let visualTokens = try json.integers("visual_tokens", in: 0...Int(Int32.max))
    guard losses.count == granularities, visualTokens.count == granularities, losses.allSatisfy(\.isFinite) else {
      throw json.failure("losses", "\(granularities) numbers")
    }
    self.init(
      index: try json.integer("index", in: 0...Int(Int32.max)), picture: try json.string("picture"),
      tiles: try json.integer("tiles", in: 1...65_536), text: try json.integers("text", in: 0...Int(Int32.max)),
      losses: losses, visualTokens: visualTokens,
      choice: json.has("choice") ? try json.integer("choice", in: 0...granularities - 1) : nil,
      featuresChecksum: try json.string("features"))
  }
}
