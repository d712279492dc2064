import GristCheckpoints
import GristCore
import GristKernels
import GristModel
import GristQuantization

/// Whether a model's stored weights are the reference's, as far as their schemes allow.
///
/// Outputs cannot tell this: a residual stream shrugs off a tensor that is twice too large, and no prompt notices one
/// wrong scale in a million. The file knows how much each tensor lost when it was quantized; compared with the very
/// weights it was made from, it must have lost exactly that.
public struct WeightComparison: Sendable {
  public struct Tensor: Sendable {
    public let name: String
    /// ‖model − reference‖ / ‖reference‖, found now.
    public let relativeError: Double
    /// The error that its file recorded; 0 for a checkpoint.
    public let recordedError: Double
    /// The largest error that is accepted.
    public let limit: Double
    public var isAccepted: Bool { relativeError <= limit }
  }

  /// Tensors that both have, in the model's order.
  public let tensors: [Tensor]
  /// Tensors of the reference that the model has not, or has with another shape.
  public let missing: [String]
  /// Whether the model was made from these very weights, so that recorded errors must be met exactly.
  public let isExact: Bool

  public var rejected: [Tensor] { tensors.filter { !$0.isAccepted } }

  /// Compares every tensor, in pieces, several at a time.
  ///
  /// The limit is the recorded error, with the reference's own where that is quantized too, and rounding where both have
  /// the same fingerprint. Where they have not (the
  /// reference is, say, an f32 copy of what was converted from bf16) three times the recorded error and one percent are
  /// allowed: enough for another precision, not for other weights.
  public init(
    model: ModelSource, reference: ModelSource, pool: ThreadPool, progress: (Double) -> Void = { _ in }
  ) throws {
    isExact = try model.fingerprint() == reference.fingerprint()
    let expected = try Dictionary(
      reference.tensors().map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
    let found = try model.tensors()
    var tensors: [Tensor] = []
    var unmatched = Set(expected.values.filter(\.elementType.isFloatingPoint).map { ByteName($0.name) })
    for (index, tensor) in found.enumerated() {
      try Interruption.check()
      progress(Double(index) / Double(max(found.count, 1)))
      guard let original = expected[ByteName(tensor.name)], original.shape == tensor.shape,
        original.elementType.isFloatingPoint, tensor.elementType.isFloatingPoint
      else { continue }
      unmatched.remove(ByteName(tensor.name))
      let recorded = model.recordedError(of: tensor.name)
      // The reference may have lost something itself: its error is against the very source too, and adds up.
      let own = reference.recordedError(of: tensor.name)
      let total = own < 1 ? (recorded + own) / (1 - own) : .infinity
      tensors.append(
        Tensor(
          name: tensor.name, relativeError: try Self.error(of: tensor, against: original, pool),
          recordedError: recorded,
          limit: isExact ? total * 1.0001 + 1e-7 : total * 3 + 0.01))
    }
    self.tensors = tensors
    missing = unmatched.sorted().map(\.text)
  }

  private static func error(of tensor: SourceTensor, against original: SourceTensor, _ pool: ThreadPool) throws
    -> Double
  {
    // Whole rows, so that a quantized tensor's tiles are expanded once.
    let rows = max(tensor.shape.count >= 2 ? tensor.shape[0] : 1, 1)
    let rowElements = tensor.elementCount / rows
    let rowsPerPiece = max(1, min(rows, (1 << 20) / max(rowElements, 1) / 16 * 16))
    let pieces = (rows + rowsPerPiece - 1) / rowsPerPiece
    let sums = try pool.map(pieces) { piece in
      let elements = piece * rowsPerPiece * rowElements..<min((piece + 1) * rowsPerPiece, rows) * rowElements
      return differenceSums(try tensor.floats(elements), from: try original.floats(elements))
    }
    original.release()
    tensor.release()
    var total = ErrorSums()
    for sum in sums { total += sum }
    return total.relativeError
  }
}

extension SourceTensor {
  fileprivate func floats(_ elements: Range<Int>) throws -> [Float] {
    let width = elementType.byteCount
    return GristKernels.floats(try bytes(elements.lowerBound * width..<elements.upperBound * width), elementType)
  }
}

extension ModelSource {
  fileprivate func tensors() throws -> [SourceTensor] {
    switch self {
    case .grist(let file, _): try file.sourceTensors()
    case .checkpoint(let checkpoint, _): checkpoint.tensors
    }
  }

  fileprivate func recordedError(of name: String) -> Double {
    guard case .grist(let file, _) = self else { return 0 }
    return file.tensor(named: name)?.relativeError ?? 0
  }
}
