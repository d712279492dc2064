/// The codes that quantized weights are written in. What the format, the kernels and the recipes have to know of a
/// width stands here; a new one is a case more.
public enum CodeWidth: Int, Sendable, CaseIterable {
  /// Four bits, two codes a byte: steps from −8 to 7, or places in a table of sixteen values.
  case int4 = 4
  /// Eight bits, two's complement, −127 to 127.
  case int8 = 8

  public var bits: Int { rawValue }

  /// Whether codes can be places in a ``CodeTable``.
  public var takesTable: Bool { self == .int4 }

  /// The magnitude that a scale of 1 stands for at most, for codes that are steps.
  public var greatestStep: Int {
    switch self {
    case .int4: 8
    case .int8: 127
    }
  }

  /// "int4".
  public var name: String { "int\(bits)" }
}
