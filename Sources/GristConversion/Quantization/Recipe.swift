import GristCore
import GristFormat
import GristSources

/// Which tensor gets which scheme, and why.
///
/// The router's choice depends on the tower, the projector, the token embeddings and the router, not on the language
/// model's layers: so the default, `int4`, spends its 4 bits there only, and `int4-exact-choices` keeps everything else
/// that a choice depends on as it came.
public struct Recipe: Sendable {
  public enum Name: String, Sendable, CaseIterable {
    /// Every tensor as it came.
    case source
    /// Matrices in this type; everything else as it came.
    case f32, f16, bf16
    /// Every matrix in int8.
    case int8
    /// The language model's linears in int4, everything the router depends on, embeddings and head in int8.
    case int4
    /// The language model's linears in int4, its head in int8, everything the router depends on as it came and computed
    /// as the reference computes it: the choices are the reference's by construction.
    case int4ExactChoices = "int4-exact-choices"
    /// Tower, language model and head in int4; what a choice is computed from at the end, embeddings, projector and
    /// router, in int8.
    case int4All = "int4-all"
  }

  public let name: Name
  public let groupSize: Int
  public let overrides: [StorageOverride]
  /// Names of matrices whose inputs' second moments are known.
  package let calibrated: Set<ByteName>
  /// Matrices that get something else than the recipe's, as a budget of bits was spent or choices were guarded; overrides
  /// count for more.
  package let assignments: [ByteName: Assignment]

  /// What a matrix was allotted, and why.
  public struct Assignment: Sendable {
    public let scheme: RequestedScheme
    /// For people.
    public let reason: String

    public init(scheme: RequestedScheme, reason: String) {
      self.scheme = scheme
      self.reason = reason
    }
  }

  /// - Throws: 64 for a group size the kernels do not know.
  package init(
    _ name: Name, groupSize: Int = RequestedScheme.defaultGroupSize, overrides: [StorageOverride] = [],
    calibrated: Set<ByteName> = [], assignments: [ByteName: Assignment] = [:]
  ) throws {
    guard TileShape.groupSizes.contains(groupSize) else {
      throw GristError(.usage, "the group size must be 32, 64 or 128", found: "\(groupSize)")
    }
    self.name = name
    self.groupSize = groupSize
    self.overrides = overrides
    self.calibrated = calibrated
    self.assignments = assignments
  }

  /// What was decided for one tensor.
  public struct Decision: Sendable {
    public let scheme: TensorScheme
    /// For people: why this one.
    public let reason: String
    /// Whether the tensor is to stay as it came, whatever that is.
    public let keepsSource: Bool
  }

  /// Decides for one tensor; `expected` is nil for a tensor the model does not know. A scale exponent is chosen later,
  /// when the values are seen.
  ///
  /// An override that asks for integers passes over tensors that cannot hold them, as an expression like "mlp" matches
  /// biases too; see ``checkOverrides(_:)``.
  ///
  /// - Throws: 64 when one asks for a real type where there are no real numbers.
  public func decide(_ tensor: SourceTensor, as expected: ExpectedTensor?) throws -> Decision {
    if let override = overrides.last(where: { $0.applies(to: tensor.name) }) {
      if case .grouped = override.scheme, !Self.canHoldGroups(tensor, expected) {
        return keep(tensor, "--set \(override.text) is for matrices only")
      }
      return Decision(
        scheme: try scheme(override.scheme, tensor, expected), reason: "--set \(override.text)",
        keepsSource: override.scheme == .source)
    }
    if let assignment = assignments[ByteName(tensor.name)] {
      return Decision(
        scheme: try scheme(assignment.scheme, tensor, expected), reason: assignment.reason,
        keepsSource: assignment.scheme == .source)
    }
    guard tensor.elementType.isFloatingPoint else { return keep(tensor, "not real numbers") }
    let kind = expected?.kind ?? .other
    guard kind == .linear || kind == .embedding else {
      return keep(tensor, kind == .other ? "unknown to the model" : "small and precious")
    }
    return try decideMatrix(tensor, expected)
  }

  /// Decides for a tensor of an architecture nobody knows: matrices are those with two or more extents.
  ///
  /// - Throws: 64 when an override asks for what the tensor cannot become.
  public func decideUnknown(_ tensor: SourceTensor) throws -> Decision {
    if overrides.contains(where: { $0.applies(to: tensor.name) }) { return try decide(tensor, as: nil) }
    guard tensor.elementType.isFloatingPoint, matrixExtents(tensor.shape) != nil else {
      return keep(tensor, "not a matrix")
    }
    return try decideMatrix(tensor, nil)
  }

  private func decideMatrix(_ tensor: SourceTensor, _ expected: ExpectedTensor?) throws -> Decision {
    let requested = requested(for: expected?.part)
    if case .grouped = requested {
      guard let (rows, columns) = matrixExtents(tensor.shape), rows >= TileShape.kernelTileRows,
        columns >= TileShape.groupSizes[0]
      else { return keep(tensor, "too few rows or columns to quantize: padding would outweigh it") }
    }
    return Decision(
      scheme: try scheme(requested, tensor, expected), reason: reason(for: expected?.part),
      keepsSource: requested == .source)
  }

  private func keep(_ tensor: SourceTensor, _ reason: String) -> Decision {
    Decision(scheme: .plain(tensor.elementType), reason: reason, keepsSource: true)
  }

  private func requested(for part: ModelPart?) -> RequestedScheme {
    switch name {
    case .source: .source
    case .f32: .plain(.f32)
    case .f16: .plain(.f16)
    case .bf16: .plain(.bf16)
    case .int8: .grouped(.int8, groupSize: groupSize)
    case .int4All: .grouped(Self.isNearChoice(part) ? .int8 : .int4, groupSize: groupSize)
    case .int4ExactChoices where part?.decidesChoices == true: .source
    case .int4, .int4ExactChoices: .grouped(isLanguageLayer(part) ? .int4 : .int8, groupSize: groupSize)
    }
  }

  /// Whether a budget of bits may change what a part's matrices get: those for which 4 bits are the recipe's own, and
  /// with ``Name/int4All`` what it keeps in 8 bits near the choice, too. The head keeps what it has.
  public func budgets(_ part: ModelPart) -> Bool {
    switch name {
    case .int4, .int4ExactChoices: isLanguageLayer(part)
    case .int4All: isLanguageLayer(part) || part.decidesChoices
    case .source, .f32, .f16, .bf16, .int8: false
    }
  }

  /// Embeddings and projector, whose products order the text filter, and the router.
  private static func isNearChoice(_ part: ModelPart?) -> Bool {
    switch part {
    case .tokenEmbeddings, .projector, .router: true
    default: false
    }
  }

  private func isLanguageLayer(_ part: ModelPart?) -> Bool {
    switch part {
    case .languageLayer, nil: true
    default: false
    }
  }

  private func reason(for part: ModelPart?) -> String {
    switch name {
    case .int4: isLanguageLayer(part) ? "a layer of the language model" : "the router or every token depends on it"
    case .int4ExactChoices:
      part?.decidesChoices == true
        ? "the router depends on it"
        : isLanguageLayer(part) ? "a layer of the language model" : "every token depends on it"
    case .int4All where Self.isNearChoice(part): part == .router ? "it decides" : "every row depends on it"
    default: "recipe \(name.rawValue)"
    }
  }

  private func scheme(
    _ requested: RequestedScheme, _ tensor: SourceTensor, _ expected: ExpectedTensor?
  ) throws -> TensorScheme {
    switch requested {
    case .source: return .plain(tensor.elementType)
    case .plain(let type):
      guard tensor.elementType.isFloatingPoint else {
        throw GristError(
          .usage, "cannot be stored as \(requested): it does not hold real numbers", tensor: tensor.name,
          found: tensor.elementType.rawValue)
      }
      return .plain(type)
    case .grouped:
      let isCalibrated = calibrated.contains(ByteName(tensor.name))
      let scheme =
        expected?.kind == .embedding
        ? requested.rows
        : matrixExtents(tensor.shape).flatMap { requested.tiles(columns: $0.columns, isCalibrated: isCalibrated) }
      guard let scheme else {
        throw GristError(
          .usage, "cannot be stored as \(requested): it is no matrix", tensor: tensor.name, found: "\(tensor.shape)")
      }
      return scheme
    }
  }

  /// Whether a tensor can be stored as integer codes in groups: matrices of real numbers can, and what the model keeps
  /// precious cannot.
  private static func canHoldGroups(_ tensor: SourceTensor, _ expected: ExpectedTensor?) -> Bool {
    tensor.elementType.isFloatingPoint && matrixExtents(tensor.shape) != nil
      && (expected == nil || expected?.kind == .linear || expected?.kind == .embedding)
  }

  /// - Throws: 64 for an override that asks for integers and matches only tensors that cannot hold them.
  public func checkOverrides(_ tensors: [(tensor: SourceTensor, expected: ExpectedTensor?)]) throws {
    for override in overrides {
      guard case .grouped = override.scheme else { continue }
      let matching = tensors.filter { override.applies(to: $0.tensor.name) }
      guard let first = matching.first, !matching.contains(where: { Self.canHoldGroups($0.tensor, $0.expected) }) else {
        continue
      }
      throw GristError(
        .usage, "cannot be stored as \(override.scheme): only matrices can", tensor: first.tensor.name,
        found: "\(first.tensor.elementType.rawValue) \(first.tensor.shape)")
    }
  }
}
