import GristSources

/// What guarding a router's choices found, and what it took.
public struct GuardedChoices: Sendable {
  /// A part of the model whose matrices were stored with more bits.
  public struct Raise: Sendable, Equatable {
    /// For people: "tower layer 3", "router".
    public let part: String
    public let scheme: String
    public let matrices: Int
    /// Bytes more than the recipe's.
    public let bytes: Int
  }

  /// Questions that were asked.
  public let questions: Int
  /// Choices of the recipe's model that are not the reference's, ties counted in; and those beyond ties.
  public let changedBefore: Int
  public let flippedBefore: Int
  /// The same of the file that was written.
  public let changedAfter: Int
  public let flippedAfter: Int
  public let raised: [Raise]
  /// Trials that were converted and asked.
  public let trials: Int

  /// Bytes that holding the choices took.
  public var bytes: Int { raised.reduce(0) { $0 + $1.bytes } }
}

extension ModelPart {
  /// For people.
  var title: String {
    switch self {
    case .tokenEmbeddings: "token embeddings"
    case .visionEmbeddings: "tower embeddings"
    case .visionLayer(let layer): "tower layer \(layer)"
    case .projector: "projector"
    case .router: "router"
    case .languageLayer(let layer): "language layer \(layer)"
    case .head: "head"
    case .unused: "unused"
    }
  }
}
