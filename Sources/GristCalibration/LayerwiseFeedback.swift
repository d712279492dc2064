import GristCore
import GristKernels
import GristModel

/// Feedback among all columns of the language model's matrices, each by what the matrices before it, quantized already, give
/// it: the whole of GPTQ (Frantar et al. 2022). Tower, projector and router, whose inputs no matrix of the language model
/// changes, are fed on inside blocks.
///
/// Holds the rows of all prompts on their way through the decoder and, for the matrices that are quantized just now, the
/// moments of their inputs: 4 · columns² bytes.
public final class LayerwiseFeedback: FeedbackSource {
  public let matrices: Set<ByteName>
  public let summary: String
  /// What should be known about it.
  public let notes: [String]
  private let before: InputStatistics
  private let parameters: any ParameterStore
  private let walk: DecoderWalk
  /// Of the walk's matrices, what they became.
  private var kept: [String: any LinearWeights] = [:]
  /// Names of matrices that the walk has not passed.
  private var ahead: Set<String>
  private var current: (names: [String], feedback: ErrorFeedback?)?

  /// Most rows of prompts and answers that are held.
  public static let rowLimit = 16_384

  /// Prepares the samples: runs tower, projector and router, and lets the model answer where a sample brings no answer.
  ///
  /// Throws what running the model throws, 64 when there is no sample.
  public init(_ calibration: Calibration, _ source: ModelSource, pool: ThreadPool) throws {
    let observer = InputObserver()
    let prompts = try CalibrationPrompts(calibration.samples, source, observer: observer, pool: pool)
    let batch = try prompts.next(rows: Self.rowLimit)
    guard !batch.isEmpty else { throw GristError(.usage, "there is nothing to calibrate with") }
    let tokens = batch.reduce(0) { $0 + $1.sequenceLength }
    notes =
      prompts.left == 0
      ? []
      : [
        "full calibration holds at most \(Self.rowLimit) rows: the last \(prompts.left) of \(calibration.samples.count) samples were left out"
      ]
    summary = "full: \(calibration.name), \(tokens) tokens"
    parameters = prompts.parameters
    walk = try prompts.walk(batch, Compute(pool: pool, activations: .int8))
    before = InputStatistics(
      fingerprint: try source.fingerprint(), text: calibration.name, tokens: tokens, observer: observer)
    let decoder = walk.allMatrices.filter { InputCovariance.fits(columns: $0.columns) }.map(\.name)
    ahead = Set(walk.allMatrices.map(\.name))
    matrices = before.matrices.union(decoder.map { ByteName($0) })
  }

  public func feedback(for name: String) throws -> ErrorFeedback? {
    guard ahead.contains(name) else { return before.feedback(for: name) }
    while !walk.matrices.contains(where: { $0.name == name }) { try advance() }
    let names = walk.matrices.map(\.name)
    if let current, current.names == names { return current.feedback }
    guard let covariance = InputCovariance(columns: walk.input.columns, walk.compute) else { return nil }
    // The one before goes before the next takes as much.
    current = nil
    covariance.add(walk.input)
    let feedback = covariance.feedback()
    current = (names, feedback)
    return feedback
  }

  public func wants(_ name: String) -> Bool { ahead.contains(name) }

  public func keep(_ name: String, as weights: any LinearWeights) { kept[name] = weights }

  private func advance() throws {
    current = nil
    let matrices = walk.matrices
    try walk.advance(matrices.map { try kept[$0.name] ?? parameters.matrix($0) })
    for matrix in matrices {
      kept[matrix.name] = nil
      ahead.remove(matrix.name)
      parameters.release(matrix.name)
    }
  }
}
