import GristCore
import GristFormat
import GristKernels
import GristSources

/// In what the weights of two models differ: checkpoints, files, or one of each, tensor by tensor under canonical names.
public struct ModelDifference: Sendable {
  public struct Tensor: Sendable {
    public let name: String
    /// What each side has of that name; nil where it has none.
    public let first: Stored?
    public let second: Stored?
    /// Nil where one side lacks it, or shapes differ.
    public let values: TensorDifference?

    /// Whether both have it, in one shape, with values no further apart than `tolerance`, a relative error; by 0 all are equal.
    public func isWithin(_ tolerance: Double) -> Bool {
      guard let values else { return false }
      return values.isEqual || values.relativeError <= tolerance && tolerance > 0
    }
  }

  /// How one side stores a tensor.
  public struct Stored: Sendable, Equatable {
    public let shape: [Int]
    /// An element type, or the scheme of a file: `bf16`, `int4 g64`.
    public let scheme: String
  }

  /// In the first model's order, then what only the second has.
  public let tensors: [Tensor]

  /// Compares all tensors of two models.
  ///
  /// - Parameters:
  ///   - first: what differences are told against.
  ///   - second: the other.
  ///   - pool: computes.
  ///   - progress: hears the fraction done.
  ///
  /// - Throws: What reading the tensors throws, 130 when the user interrupts.
  public init(
    _ first: Source, _ second: Source, pool: ThreadPool, progress: (Double) -> Void = { _ in }
  ) throws {
    // What a model does not compute with some programs save, and some do not.
    let (ours, theirs) = try (
      first.tensors().filter { $0.origin.unused == nil }, second.tensors().filter { $0.origin.unused == nil }
    )
    let others = Dictionary(theirs.map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
    let names = Set(ours.map { ByteName($0.name) })
    var tensors: [Tensor] = []
    for (index, tensor) in ours.enumerated() {
      progress(Double(index) / Double(max(ours.count, 1)))
      let other = others[ByteName(tensor.name)]
      let values = try other.flatMap { other in
        other.shape == tensor.shape
          ? try locating(tensor: tensor.name) { try TensorDifference(tensor, other, pool) } : nil
      }
      tensors.append(
        Tensor(
          name: tensor.name, first: first.stored(tensor), second: other.map(second.stored), values: values))
    }
    for tensor in theirs where !names.contains(ByteName(tensor.name)) {
      tensors.append(Tensor(name: tensor.name, first: nil, second: second.stored(tensor), values: nil))
    }
    self.tensors = tensors
  }

  /// Those that are not within a tolerance, what cannot be compared first, then by falling relative error.
  public func differing(beyond tolerance: Double = 0) -> [Tensor] {
    func rank(_ tensor: Tensor) -> Double {
      guard let error = tensor.values?.relativeError, !error.isNaN else { return .infinity }
      return error
    }
    return tensors.enumerated().filter { !$0.element.isWithin(tolerance) }
      .sorted { (rank($1.element), $0.offset) < (rank($0.element), $1.offset) }.map(\.element)
  }
}

extension Source {
  fileprivate func stored(_ tensor: SourceTensor) -> ModelDifference.Stored {
    ModelDifference.Stored(
      shape: tensor.shape, scheme: file?.tensor(named: tensor.name)?.scheme.name ?? tensor.elementType.rawValue)
  }
}
