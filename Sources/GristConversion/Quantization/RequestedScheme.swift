import GristCore
import GristFormat
import GristSources

/// How a tensor is to be stored, before its own shape and type are looked at.
public enum RequestedScheme: Sendable, Equatable, CustomStringConvertible {
  /// As it came.
  case source
  /// Element by element in this type (f32, f16 or bf16).
  case plain(ElementType)
  /// Codes in groups of this many input columns; those that can be are places in a table unless they are to be
  /// `uniform` steps.
  case grouped(CodeWidth, groupSize: Int, uniform: Bool = false)

  /// Group size where none is given.
  public static let defaultGroupSize = 64

  public var description: String {
    switch self {
    case .source: "source"
    case .plain(let type): type.rawValue
    case .grouped(let codes, let groupSize, let uniform): "\(codes.name)\(uniform ? "-uniform" : ""):\(groupSize)"
    }
  }

  /// Parses `source`, `f32`, `f16`, `bf16`, `int8`, `int4`, `int4-uniform`; the last three also with a group size,
  /// `int4:32`.
  ///
  /// - Throws: 64.
  public init(_ text: String, groupSize: Int = defaultGroupSize) throws {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    let failure = GristError(
      .usage, "no storage scheme of this name", found: text,
      advice: "use source, f32, f16, bf16, int8, int4 or int4-uniform; the last three may carry a group size of 32, 64 "
        + "or 128, as in int4:32")
    switch (parts[0], parts.count) {
    case ("source", 1): self = .source
    case ("f32", 1): self = .plain(.f32)
    case ("f16", 1): self = .plain(.f16)
    case ("bf16", 1): self = .plain(.bf16)
    case ("int8", 1...2), ("int4", 1...2), ("int4-uniform", 1...2):
      guard let size = parts.count == 2 ? Int(parts[1]) : groupSize, TileShape.groupSizes.contains(size) else {
        throw failure
      }
      self = .grouped(parts[0] == "int8" ? .int8 : .int4, groupSize: size, uniform: parts[0] == "int4-uniform")
    default: throw failure
    }
  }
}

extension RequestedScheme {
  /// The scheme of a matrix of this width that is multiplied with, in tiles; nil for a choice that is not codes in
  /// groups.
  ///
  /// Turning the columns makes int8 activations all but free; what it takes from 4-bit codes that are not calibrated it
  /// does not give back, so they are rotated only where there is error feedback.
  public func tiles(columns: Int, isCalibrated: Bool) -> TensorScheme? {
    guard case .grouped(let codes, let groupSize, let uniform) = self else { return nil }
    let isTurned = (codes == .int8 || isCalibrated) && !uniform && Rotation.hadamard64.fits(columns: columns)
    let coding = GroupCoding(table: codeTable, rotation: isTurned ? .hadamard64 : .none)
    return .grouped(.init(codes: codes, groupSize: groupSize, layout: .tile16, coding: coding))
  }

  /// The scheme of a table that is looked up by row, as it is; nil for a choice that is not codes in groups.
  public var rows: TensorScheme? {
    guard case .grouped(let codes, let groupSize, _) = self else { return nil }
    return .grouped(.init(codes: codes, groupSize: groupSize, layout: .row, coding: GroupCoding(table: codeTable)))
  }

  /// What the codes index; nil for steps.
  var codeTable: CodeTable? {
    guard case .grouped(let codes, _, false) = self, codes.takesTable else { return nil }
    return .nonlinear
  }
}
