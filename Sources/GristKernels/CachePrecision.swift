internal import CGristKernels

/// How keys and values of what was read are kept.
public enum CachePrecision: String, Sendable, CaseIterable {
  case f32
  /// Rounded to nearest even; values beyond 65504 become infinite.
  case f16
  /// Codes from -127 to 127 with an f32 scale for each row of each head, its greatest magnitude over 127. Blocks of 64
  /// values are turned before, where heads are made of such, so that a channel that stands out is spread over its
  /// block.
  case int8

  /// Bytes of a value.
  var byteCount: Int {
    switch self {
    case .f32: 4
    case .f16: 2
    case .int8: 1
    }
  }

  var kept: grist_kept {
    switch self {
    case .f32: GRIST_KEPT_FLOAT
    case .f16: GRIST_KEPT_HALF
    case .int8: GRIST_KEPT_CODES
    }
  }
}
