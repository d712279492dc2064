/// The type of one stored element, as upstream checkpoints name them. All are little-endian.
public enum ElementType: String, Sendable, CaseIterable {
  case f64, f32, f16, bf16, i64, i32, i8, u8, bool

  /// Bytes per element.
  public var byteCount: Int {
    switch self {
    case .f64, .i64: 8
    case .f32, .i32: 4
    case .f16, .bf16: 2
    case .i8, .u8, .bool: 1
    }
  }

  /// Whether elements are real numbers that a quantizer or a matrix product can work on.
  public var isFloatingPoint: Bool {
    switch self {
    case .f64, .f32, .f16, .bf16: true
    case .i64, .i32, .i8, .u8, .bool: false
    }
  }
}

/// Number of elements of a tensor of this shape; nil when it does not fit `Int` or an extent is negative.
///
/// A shape of rank 0 is one element. Zero extents are allowed and give 0, but only if the product of the other
/// extents still fits: a shape that could not be indexed is refused even when it is empty.
public func elementCount(of shape: [Int]) -> Int? {
  var product = 1
  var hasZero = false
  for extent in shape {
    if extent < 0 { return nil }
    if extent == 0 {
      hasZero = true
      continue
    }
    let (next, overflow) = product.multipliedReportingOverflow(by: extent)
    if overflow { return nil }
    product = next
  }
  return hasZero ? 0 : product
}

extension Int {
  /// `self` rounded up to a multiple of `alignment` (> 0); nil when the result does not fit.
  public func roundedUp(toMultipleOf alignment: Int) -> Int? {
    let remainder = self % alignment
    guard remainder != 0 else { return self }
    let (sum, overflow) = addingReportingOverflow(alignment - remainder)
    return overflow ? nil : sum
  }
}
