import GristCheckpoints
import GristCore
import GristFormat
import GristKernels
import GristModel
import GristQuantization

/// Quantizes a source's matrices for a look at what that would do; nothing is kept.
struct TrialQuantization {
  /// Whether rounding errors will be fed on, and so columns be turned.
  let isCalibrated: Bool
  /// What a matrix would become.
  struct Codes {
    let weights: any LinearWeights
    let byteCount: Int
    let error: ErrorSums
  }

  private let tensors: [ByteName: SourceTensor]
  private let pool: ThreadPool

  init(_ source: ModelSource, isCalibrated: Bool, pool: ThreadPool) throws {
    self.isCalibrated = isCalibrated
    self.pool = pool
    let tensors =
      switch source {
      case .checkpoint(let checkpoint, _): checkpoint.tensors
      case .grist(let file, _): try file.sourceTensors()
      }
    self.tensors = Dictionary(tensors.map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
  }

  func tensor(named name: String) -> SourceTensor? { tensors[ByteName(name)] }

  /// - Throws: 64 where the scheme cannot hold the tensor, 65 for values that are not finite.
  func quantize(
    _ tensor: SourceTensor, _ choice: StorageChoice, _ feedback: ErrorFeedback?
  ) throws -> Codes {
    // Feedback is for codes of a table.
    let isTable = if case .grouped(4, _, false) = choice { true } else { false }
    let first = try encoder(tensor, choice, isTable ? feedback : nil)
    let count = first.units.count
    let unitsPerRun = max(1, (1 << 20) / max(first.units.bytesPerUnit, 1))
    let runs = (count + unitsPerRun - 1) / unitsPerRun
    @Sendable func range(_ run: Int) -> Range<Int> { run * unitsPerRun..<min((run + 1) * unitsPerRun, count) }
    let greatest = try pool.map(runs) { try first.scan(range($0)) }.max() ?? 0
    let encoder = try first.scanned(greatest)
    let encoded = try pool.map(runs) { try encoder.encode(range($0)) }
    let error = encoded.reduce(into: ErrorSums()) { $0 += $1.error }
    let finished = FinishedMatrix(
      scheme: encoder.scheme, shape: tensor.shape, runs: encoded.map(\.payload), unitsPerRun: unitsPerRun, error: error)
    guard let weights = finished.weights else {
      throw GristError(.badData, "the scheme cannot hold the shape", tensor: tensor.name, found: "\(tensor.shape)")
    }
    return Codes(weights: weights, byteCount: encoder.units.payloadBytes, error: error)
  }

  private func encoder(
    _ tensor: SourceTensor, _ choice: StorageChoice, _ feedback: ErrorFeedback?
  ) throws -> TensorEncoder {
    guard let columns = matrixExtents(tensor.shape)?.columns,
      let scheme = choice.tiles(columns: columns, isCalibrated: isCalibrated)
    else {
      throw GristError(.usage, "cannot be stored as \(choice)", tensor: tensor.name)
    }
    return try TensorEncoder(tensor, scheme: scheme, feedback: feedback)
  }
}
