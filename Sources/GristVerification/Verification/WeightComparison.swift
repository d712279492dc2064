import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources

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
  /// Whose weights the model was made from.
  public let origin: Origin
  /// Of the weights that each was made from.
  public let modelFingerprint: String
  public let referenceFingerprint: String

  public enum Origin: String, Sendable {
    /// The reference's: both have the same fingerprint.
    case same
    /// The reference's after a cast that lost nothing, from bf16 to f32 say.
    case cast
    case other
  }

  /// Whether every tensor can be held to the error that the file recorded for it.
  public var isExact: Bool { origin != .other }

  public var rejected: [Tensor] { tensors.filter { !$0.isAccepted } }

  /// Compares every tensor, in pieces, several at a time.
  ///
  /// The limit is the recorded error, with the reference's own where that is quantized too, and rounding.
  public init(
    model: Source, reference: Source, pool: ThreadPool, progress: (Double) -> Void = { _ in }
  ) throws {
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
          limit: total * 1.0001 + 1e-7))
    }
    self.tensors = tensors
    missing = unmatched.sorted().map(\.text)
    let areEqual = missing.isEmpty && tensors.allSatisfy { $0.relativeError == 0 }
    modelFingerprint = try model.fingerprint()
    referenceFingerprint = try reference.fingerprint()
    origin =
      modelFingerprint == referenceFingerprint
      ? .same : try Self.castOrigin(of: model, modelFingerprint, in: reference, areEqual: areEqual)
  }

  /// - Parameter areEqual: whether all that was compared is the same, value for value.
  private static func castOrigin(
    of model: Source, _ fingerprint: String, in reference: Source, areEqual: Bool
  ) throws -> Origin {
    guard let file = model.file else { return areEqual ? .cast : .other }
    // The file knows of which type each tensor was: the reference's, cast to that, has the same fingerprint.
    var cast = SourceFingerprint()
    for tensor in try reference.tensors() {
      guard let type = file.tensor(named: tensor.name)?.origin.element,
        let digits = try tensor.digits(castTo: type)
      else { return .other }
      cast.add(tensor.name, type, shape: tensor.shape, digits: digits)
    }
    return cast.digits == fingerprint ? .cast : .other
  }

  private static func error(of tensor: SourceTensor, against original: SourceTensor, _ pool: ThreadPool) throws
    -> Double
  {
    var total = ErrorSums()
    let sums = try TensorPair(tensor, original).map(pool) { pair, rows in
      differenceSums(
        floats(try pair.first(rows), tensor.elementType), from: floats(try pair.second(rows), original.elementType))
    }
    for sum in sums { total += sum }
    return total.relativeError
  }
}

extension SourceTensor {
  /// The fingerprint of the tensor's bytes after a cast; nil where the cast changes a value.
  fileprivate func digits(castTo type: ElementType) throws -> String? {
    if type == elementType { return try SourceFingerprint.digits(of: self) }
    guard [.f32, .f16, .bf16].contains(type), [.f32, .f16, .bf16].contains(elementType) else { return nil }
    var hash = StreamingFingerprint()
    let piece = 1 << 20
    for first in stride(from: 0, to: elementCount, by: piece) {
      try Interruption.check()
      let width = elementType.byteCount
      let values = floats(try bytes(first * width..<min(first + piece, elementCount) * width), elementType)
      let (bytes, error) = values.withUnsafeBufferPointer { convertFloats($0, to: type) }
      guard error.isLossless else { return nil }
      hash.update(bytes)
    }
    release()
    return hash.digits()
  }
}

extension Source {
  fileprivate func recordedError(of name: String) -> Double {
    file?.tensor(named: name)?.relativeError ?? 0
  }
}
