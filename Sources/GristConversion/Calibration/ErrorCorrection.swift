import GristCore
import GristKernels

/// Corrects the rounding errors of a model's matrices while they are quantized.
package protocol ErrorCorrection: AnyObject {
  /// Names of the matrices whose inputs are or will be known.
  var matrices: Set<ByteName> { get }

  /// What was done, for people and for the file: "block, 60 bundled conversations, 4,711 tokens".
  var summary: String { get }

  /// Has one matrix quantized. Matrices come in execution order, each one whole before the next.
  ///
  /// - Parameters:
  ///   - name: the tensor; those that are no matrix of the model's go through as they are.
  ///   - takesFeedback: whether its codes can be made with feedback.
  ///   - write: writes it as it is told, and returns its codes where those are asked for.
  ///
  /// - Throws: What `write` throws, what running the model throws, 74 when progress cannot be kept.
  func quantize(
    _ name: String, takesFeedback: Bool, _ write: (QuantizationStep) throws -> FinishedMatrix?
  ) throws

  /// Says that the file stands, so that nothing need be kept to go on from.
  func conclude()
}

/// How one matrix is to be written.
package enum QuantizationStep {
  /// Encode it, with feedback where its inputs are known; and return its codes where others are computed with them.
  case encode(ErrorFeedback?, returnsCodes: Bool)
  /// An earlier conversion that was stopped made this of it.
  case copy(FinishedMatrix)
}

/// Corrects inside blocks of 64 columns, by moments gathered once on the source's weights.
package final class BlockCorrection: ErrorCorrection {
  private let statistics: InputStatistics

  package init(_ statistics: InputStatistics) { self.statistics = statistics }

  package var matrices: Set<ByteName> { statistics.matrices }
  package var summary: String { "block: \(statistics.text), \(statistics.tokens) tokens" }

  package func quantize(
    _ name: String, takesFeedback: Bool, _ write: (QuantizationStep) throws -> FinishedMatrix?
  ) throws {
    // Made when it is asked for: a model's would take memory together that one tensor's does not.
    _ = try write(.encode(takesFeedback ? statistics.feedback(for: name) : nil, returnsCodes: false))
  }

  package func conclude() {}
}
