import GristModel

/// What an answer tells as it comes.
public enum AnswerEvent: Sendable {
  case began(AnswerBeginning)
  case piece(text: String, logprob: TokenLogprob?)
  case ended(AnswerEnding)
}

/// What is known once the prompt was read.
public struct AnswerBeginning: Sendable {
  public let granularity: Granularity?
  /// Nil without a picture, without a router, or where the granularity was asked for.
  public let decision: RouterDecision?
  /// Tiles of the pictures; 0 without one.
  public let tiles: Int
  /// Rows of the prompt; those of the pictures; those that were kept from earlier prompts.
  public let rows: Int
  public let pictureRows: Int
  public let keptRows: Int
  /// Whether all pictures had been looked at before.
  public let pictureWasKept: Bool
  /// What each visual token stands for; nil without a picture, and for several.
  public let grid: TokenGrid?
  /// Seconds in the queue; with the picture and the router; with the prompt.
  public let queueSeconds: Double
  public let pictureSeconds: Double
  public let prefillSeconds: Double
}

/// What is known at the end.
public struct AnswerEnding: Sendable {
  /// `stop` or `length`.
  public let reason: String
  public let tokens: [Int]
  public let decodeSeconds: Double
}
