import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources

/// Quantizes a source's matrices for a look at what that would do; nothing is kept.
struct TrialQuantization {
  /// Whether codes will be made with error feedback, and so columns be rotated.
  let isCalibrated: Bool
  /// What a tensor would become.
  struct Codes<Weights> {
    let weights: Weights
    let byteCount: Int
    let error: ErrorSums
  }

  private let tensors: [ByteName: SourceTensor]
  private let pool: ThreadPool

  init(_ source: Source, isCalibrated: Bool, pool: ThreadPool) throws {
    self.isCalibrated = isCalibrated
    self.pool = pool
    tensors = try Dictionary(
      source.tensors().map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
  }

  func tensor(named name: String) -> SourceTensor? { tensors[ByteName(name)] }

  /// - Throws: 64 where the scheme cannot hold the tensor, 65 for values that are not finite.
  func quantize(
    _ tensor: SourceTensor, _ requested: RequestedScheme, _ feedback: ErrorFeedback?
  ) throws -> Codes<any LinearWeights> {
    // Feedback is for codes of a table.
    let takesFeedback = requested.codeTable != nil
    let scheme = matrixExtents(tensor.shape).flatMap {
      requested.tiles(columns: $0.columns, isCalibrated: isCalibrated)
    }
    let finished = try finish(tensor, scheme, requested, takesFeedback ? feedback : nil)
    guard let weights = finished.weights else { throw unfit(tensor, requested) }
    return Codes(weights: weights, byteCount: finished.byteCount, error: finished.error)
  }

  /// A table that is looked up by row; nothing flows into it, so there is no feedback.
  ///
  /// - Throws: 64 where the scheme cannot hold the tensor, 65 for values that are not finite.
  func quantizeTable(_ tensor: SourceTensor, _ requested: RequestedScheme) throws -> Codes<any EmbeddingTable> {
    let finished = try finish(tensor, requested.rows, requested, nil)
    guard let table = finished.table(of: tensor) else { throw unfit(tensor, requested) }
    return Codes(weights: table, byteCount: finished.byteCount, error: finished.error)
  }

  private func finish(
    _ tensor: SourceTensor, _ scheme: TensorScheme?, _ requested: RequestedScheme, _ feedback: ErrorFeedback?
  ) throws -> FinishedMatrix {
    guard let scheme else { throw unfit(tensor, requested) }
    return try ChunkedTensor(tensor, scheme: scheme, feedback: feedback).finished(pool)
  }

  private func unfit(_ tensor: SourceTensor, _ requested: RequestedScheme) -> GristError {
    GristError(.usage, "cannot be stored as \(requested)", tensor: tensor.name, found: "\(tensor.shape)")
  }
}
