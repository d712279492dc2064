import CGristKernels
import GristCore

/// Sums from which a relative error follows.
public struct ErrorSums: Sendable, Equatable {
  /// Σ (stored − source)²
  public var squaredError = 0.0
  /// Σ source²
  public var squaredSource = 0.0

  public init() {}

  public static func += (a: inout ErrorSums, b: ErrorSums) {
    a.squaredError += b.squaredError
    a.squaredSource += b.squaredSource
  }

  /// ‖stored − source‖ / ‖source‖; 0 when both are zero.
  public var relativeError: Double { squaredSource > 0 ? (squaredError / squaredSource).squareRoot() : 0 }
}

/// Quantizes rows to whole tiles of a payload: the codes of the tiles, then their scales.
///
/// - Parameters:
///   - rows: f32 rows, `rowCount · shape.columns` finite values; they fill the tiles from the first on, rows that are
///     missing in the last tile become codes and scales of zero.
///   - prescale: multiplies the weights before a scale is sought; a power of two.
/// - Returns: the payload, `tiles · shape.bytesPerTile` bytes, and the sums of its error.
public func quantizeTiles(
  _ rows: UnsafeBufferPointer<Float>, rowCount: Int, shape: TileShape, prescale: Float
) -> (payload: Bytes, error: ErrorSums) {
  precondition(rows.count == rowCount * shape.columns && rowCount > 0)
  let tiles = (rowCount - 1) / shape.tileRows + 1
  let buffer = AlignedBuffer(byteCount: tiles * shape.bytesPerTile)
  var sums = ErrorSums()
  buffer.withUnsafeMutableBytes { payload in
    guard let base = payload.baseAddress, let source = rows.baseAddress else { return }
    let codeBytes = tiles * shape.codeBytesPerTile
    if shape.bits == 4 { payload[0..<codeBytes].initializeMemory(as: UInt8.self, repeating: 0x88) }
    for row in 0..<rowCount {
      let (tile, rowInTile) = (row / shape.tileRows, row % shape.tileRows)
      let weights = source + row * shape.columns
      sums.squaredError += kernels.quantize_row(
        weights, shape.columns, shape.groupSize, Int32(shape.bits), prescale, rowInTile, shape.tileRows,
        (base + tile * shape.codeBytesPerTile).assumingMemoryBound(to: UInt8.self),
        (base + codeBytes + tile * shape.scaleBytesPerTile).assumingMemoryBound(to: UInt16.self))
      sums.squaredSource += kernels.sum_of_squares(weights, shape.columns)
    }
  }
  return (buffer.bytes, sums)
}

/// The greatest magnitude among the values; infinite or NaN when one of them is.
public func greatestMagnitude(_ values: UnsafeBufferPointer<Float>) -> Float {
  guard let base = values.baseAddress else { return 0 }
  return Float(bitPattern: kernels.greatest_magnitude_bits(base, values.count))
}

/// Converts f32 to another real type, to nearest even. Values beyond f16's range become infinite. Only f32, f16 and
/// bf16. The sums tell what rounding lost.
public func convertFloats(
  _ values: UnsafeBufferPointer<Float>, to type: ElementType
) -> (payload: Bytes, error: ErrorSums) {
  precondition([.f32, .f16, .bf16].contains(type))
  let buffer = AlignedBuffer(byteCount: values.count * type.byteCount)
  var sums = ErrorSums()
  buffer.withUnsafeMutableBytes { payload in
    for (index, value) in values.enumerated() {
      let stored: Float
      switch type {
      case .f16:
        let bits = grist_half_from_float(value)
        payload.storeBytes(of: bits.littleEndian, toByteOffset: index * 2, as: UInt16.self)
        stored = grist_float_from_half(bits)
      case .bf16:
        let bits = bfloatBits(value)
        payload.storeBytes(of: bits.littleEndian, toByteOffset: index * 2, as: UInt16.self)
        stored = Float(bitPattern: UInt32(bits) << 16)
      default:
        payload.storeBytes(of: value.bitPattern.littleEndian, toByteOffset: index * 4, as: UInt32.self)
        stored = value
      }
      let difference = Double(stored) - Double(value)
      sums.squaredError += difference * difference
      sums.squaredSource += Double(value) * Double(value)
    }
  }
  return (buffer.bytes, sums)
}

/// bfloat16 bits, to nearest even; NaN stays NaN.
private func bfloatBits(_ value: Float) -> UInt16 {
  let bits = value.bitPattern
  if value.isNaN { return UInt16(bits >> 16) | 0x40 }
  return UInt16(truncatingIfNeeded: (UInt64(bits) + 0x7fff + UInt64(bits >> 16 & 1)) >> 16)
}

/// The error sums of stored values against source values of the same count; a value that is not finite counts as an
/// infinite error unless both are the same.
public func differenceSums(_ stored: [Float], from source: [Float]) -> ErrorSums {
  var sums = ErrorSums()
  guard stored.count == source.count else {
    sums.squaredError = .infinity
    sums.squaredSource = 1
    return sums
  }
  for index in stored.indices where stored[index].bitPattern != source[index].bitPattern {
    let difference = Double(stored[index]) - Double(source[index])
    sums.squaredError += difference.isFinite ? difference * difference : .infinity
  }
  sums.squaredSource = source.withUnsafeBufferPointer {
    $0.baseAddress.map { kernels.sum_of_squares($0, source.count) } ?? 0
  }
  if !sums.squaredSource.isFinite { sums.squaredSource = 1 }
  return sums
}
