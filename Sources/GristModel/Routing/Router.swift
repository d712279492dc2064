import GristKernels
import GristSources

/// Decides what a picture's tiles become.
public protocol Router: Sendable {
  /// - Throws: 65 when a value is not finite, 130 when interrupted.
  func decide(_ input: RouterInput, _ compute: Compute) throws -> RouterDecision
}

/// A routing that can be computed: the half of a family's router that has weights.
public protocol RunnableRouting: Routing {
  /// - Throws: 65 when a tensor is missing or has another shape.
  func router(_ parameters: any ParameterStore) throws -> any Router
}

/// What a router looks at.
public struct RouterInput: Sendable {
  /// The projector's rows, [tiles · patches, width], the whole picture's tile first.
  public let features: FloatMatrix
  public let tiles: Int
  /// Embeddings of the prompt's tokens, the picture's place left out: [tokens, width].
  public let text: FloatMatrix
}
