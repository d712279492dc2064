/// The type of one stored element, as upstream checkpoints name them: every dtype of the safetensors format. All are
/// little-endian; elements narrower than a byte are packed without gaps.
public enum ElementType: String, Sendable, CaseIterable {
  case f64, f32, f16, bf16
  case f8E4M3 = "f8_e4m3"
  case f8E5M2 = "f8_e5m2"
  case f8E8M0 = "f8_e8m0"
  case f8E4M3FNUZ = "f8_e4m3fnuz"
  case f8E5M2FNUZ = "f8_e5m2fnuz"
  case f6E2M3 = "f6_e2m3"
  case f6E3M2 = "f6_e3m2"
  case f4, c64
  case i64, i32, i16, i8
  case u64, u32, u16, u8
  case bool

  public var bitCount: Int {
    switch self {
    case .f64, .i64, .u64, .c64: 64
    case .f32, .i32, .u32: 32
    case .f16, .bf16, .i16, .u16: 16
    case .i8, .u8, .bool, .f8E4M3, .f8E5M2, .f8E8M0, .f8E4M3FNUZ, .f8E5M2FNUZ: 8
    case .f6E2M3, .f6E3M2: 6
    case .f4: 4
    }
  }

  /// Whole bytes that hold one element; elements of less than a byte lie closer than that in a tensor, see
  /// ``byteCount(ofElements:)``.
  public var byteCount: Int { (bitCount + 7) / 8 }

  /// Whether an element is a whole number of bytes.
  public var isWholeBytes: Bool { bitCount % 8 == 0 }

  /// Bytes of `count` elements in a row; nil when they do not end with a byte, or do not fit `Int`.
  public func byteCount(ofElements count: Int) -> Int? {
    let (bits, overflow) = count.multipliedReportingOverflow(by: isWholeBytes ? byteCount : bitCount)
    guard !overflow else { return nil }
    if isWholeBytes { return bits }
    return bits % 8 == 0 ? bits / 8 : nil
  }

  /// Whether elements are real numbers that a quantizer or a matrix product can work on. All others are carried byte
  /// for byte.
  public var isFloatingPoint: Bool {
    switch self {
    case .f64, .f32, .f16, .bf16: true
    default: false
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
