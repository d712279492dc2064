import GristCore
import GristKernels

/// Knows how the rounding errors of a model's matrices are to be fed on.
public protocol FeedbackSource: AnyObject {
  /// Names of the matrices whose inputs are or will be known.
  var matrices: Set<ByteName> { get }

  /// What was done, for people and for the file: "block, 60 bundled conversations, 4,711 tokens".
  var summary: String { get }

  /// How the errors of a matrix are fed on; nil when its inputs are not known. Matrices are asked for in execution order.
  ///
  /// - Throws: What preparing it throws.
  func feedback(for name: String) throws -> ErrorFeedback?

  /// Whether what a matrix becomes has to be told, with ``keep(_:as:)``, before matrices behind it are asked for.
  func wants(_ name: String) -> Bool

  /// - Throws: 74 when it cannot be kept.
  func keep(_ name: String, as matrix: FinishedMatrix) throws

  /// Says that the file stands, so that nothing need be kept to go on from.
  func conclude()

  /// What an earlier conversion that was stopped made of a matrix; nil where it did not come so far.
  ///
  /// - Throws: 65 or 74 when what an earlier run kept cannot be read.
  func finished(_ name: String) throws -> FinishedMatrix?
}

/// Feedback inside blocks of 64 columns, by moments gathered once on the source's weights.
public final class BlockFeedback: FeedbackSource {
  private let statistics: InputStatistics

  public init(_ statistics: InputStatistics) { self.statistics = statistics }

  public var matrices: Set<ByteName> { statistics.matrices }
  public var summary: String { "block: \(statistics.text), \(statistics.tokens) tokens" }

  // Made when it is asked for: a model's would take memory together that one tensor's does not.
  public func feedback(for name: String) -> ErrorFeedback? { statistics.feedback(for: name) }
  public func wants(_ name: String) -> Bool { false }
  public func keep(_ name: String, as matrix: FinishedMatrix) {}
  public func finished(_ name: String) -> FinishedMatrix? { nil }
  public func conclude() {}
}
