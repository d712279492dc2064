internal import CGristKernels
import GristCore

/// Sums from which a relative error follows.
package struct ErrorSums: Sendable, Equatable {
  /// Σ (stored − source)²
  package var squaredError = 0.0
  /// Σ source²
  package var squaredSource = 0.0
  /// Whether every stored value is the source's, to the bit.
  package var isLossless = true
  /// The greatest relative error of a single row; nil where rows were not looked at.
  package var worstRow: Double?

  package init() {}

  package static func += (a: inout ErrorSums, b: ErrorSums) {
    a.squaredError += b.squaredError
    a.squaredSource += b.squaredSource
    a.isLossless = a.isLossless && b.isLossless
    if let other = b.worstRow { a.worstRow = max(a.worstRow ?? 0, other) }
  }

  /// ‖stored − source‖ / ‖source‖; 0 when both are zero.
  package var relativeError: Double { squaredSource > 0 ? (squaredError / squaredSource).squareRoot() : 0 }
}

/// Quantizes rows to whole tiles of a payload: the codes of the tiles, then their scales.
///
/// - Parameters:
///   - source: whole rows of `shape.columns` finite values of `type`; they fill the tiles from the first on, rows that
///     are missing in the last tile become codes and scales of zero.
///   - type: of the values.
///   - shape: of the tiles.
///   - coding: what the codes stand for, and how columns are turned first.
///   - feedback: of the inputs that these rows meet, turned alike; only where codes have a table.
///   - prescale: multiplies the weights before a scale is sought; a power of two.
/// - Returns: the payload, `tiles · shape.bytesPerTile` bytes, and the sums of its error.
/// - Precondition: The source holds whole rows, one at least, and coding and feedback fit their width.
package func quantizeTiles(
  _ source: Bytes, _ type: ElementType, shape: TileShape, coding: GroupCoding = GroupCoding(),
  feedback: ErrorFeedback? = nil, prescale: Float
) -> (payload: Bytes, error: ErrorSums) {
  precondition(coding.rotation.fits(columns: shape.columns) && feedback?.columns ?? shape.columns == shape.columns)
  let rowBytes = shape.columns * type.byteCount
  let rowCount = source.count / rowBytes
  precondition(source.count == rowCount * rowBytes && rowCount > 0)
  let tiles = (rowCount - 1) / shape.tileRows + 1
  let buffer = AlignedBuffer(byteCount: tiles * shape.bytesPerTile)
  var sums = ErrorSums()
  sums.isLossless = false
  // Turning adds up whole blocks: values near the end of f32 are made smaller before it, not after.
  let early: Float = prescale < 0x1p-60 ? prescale : 1
  let prescale = prescale / early
  // A few rows at a time, so that their f32 copy stays in the cache; all of them where they are multiplied with what
  // was lost.
  let far = feedback?.far
  let rows = FloatMatrix(
    uninitializedRows: far == nil ? TileShape.kernelTileRows : rowCount, columns: shape.columns)
  buffer.withUnsafeMutableBytes { payload in
    guard let base = payload.baseAddress else { return }
    let allCodes = tiles * shape.codeBytesPerTile
    for first in stride(from: 0, to: rowCount, by: rows.rows) {
      let count = min(rows.rows, rowCount - first)
      guard let bytes = source.slice(first * rowBytes, count * rowBytes) else { return }
      expandElements(bytes, type, into: UnsafeMutableBufferPointer(start: rows.base, count: rows.count))
      if early != 1 { for index in 0..<rows.count { rows.base[index] *= early } }
      coding.rotate(rows.base, count: count, columns: shape.columns)
      let tile = first / shape.tileRows
      let codes = (base + tile * shape.codeBytesPerTile).assumingMemoryBound(to: UInt8.self)
      let scales = (base + allCodes + tile * shape.scaleBytesPerTile).assumingMemoryBound(to: UInt16.self)
      var rowErrors = [Double](repeating: 0, count: count)
      sums.squaredError += rowErrors.withUnsafeMutableBufferPointer { rowErrors in
        coding.withTable { table in
          guard let table else {
            return kernels.quantize_rows(
              rows.base, count, shape.columns, shape.groupSize, Int32(shape.codes.bits), prescale, shape.tileRows,
              codes,
              scales, rowErrors.baseAddress)
          }
          let job = TableQuantization(
            rows: rows, count: count, shape: shape, table: table, prescale: prescale, codes: codes, scales: scales,
            rowErrors: rowErrors.baseAddress)
          if let feedback, let far { return job.run(feedback, far) }
          return job.run(feedback)
        }
      }
      sums.squaredSource += sumOfSquares(rows.base, count * shape.columns)
      for (row, error) in rowErrors.enumerated() {
        let square = sumOfSquares(rows.base + row * shape.columns, shape.columns)
        sums.worstRow = max(sums.worstRow ?? 0, square > 0 ? (error / square).squareRoot() : 0)
      }
    }
  }
  let back = 1 / (Double(early) * Double(early))
  sums.squaredError *= back
  sums.squaredSource *= back
  return (buffer.bytes, sums)
}

/// Σ values², also where the squares leave what f32 holds.
private func sumOfSquares(_ values: UnsafePointer<Float>, _ count: Int) -> Double {
  let sum = kernels.sum_of_squares(values, count)
  if (1e-30...1e30).contains(sum) { return sum }
  return UnsafeBufferPointer(start: values, count: count).reduce(0.0) { $0 + Double($1) * Double($1) }
}

/// The greatest magnitude among the values; infinite or NaN when one of them is.
package func greatestMagnitude(_ values: Bytes, _ type: ElementType) -> Float {
  let block = 65_536
  return values.withUnsafeBytes { bytes in
    if type.byteCount == 2, let base = bytes.baseAddress, UInt(bitPattern: base) % 2 == 0 {
      let bits = kernels.greatest_magnitude_bits16(base.assumingMemoryBound(to: UInt16.self), bytes.count / 2)
      return type == .bf16 ? Float(bitPattern: UInt32(bits) << 16) : grist_float_from_half(bits)
    }
    return withUnsafeTemporaryAllocation(of: Float.self, capacity: block) { buffer in
      var greatest: UInt32 = 0
      for offset in stride(from: 0, to: values.count, by: block * type.byteCount) {
        let piece = values.slice(offset, min(block * type.byteCount, values.count - offset)) ?? Bytes()
        expandElements(piece, type, into: buffer)
        guard let base = buffer.baseAddress else { break }
        greatest = max(greatest, kernels.greatest_magnitude_bits(base, piece.count / type.byteCount))
      }
      return Float(bitPattern: greatest)
    }
  }
}

/// Converts f32 to another real type, to nearest even. Values beyond f16's range become infinite. Only f32, f16 and
/// bf16. The sums tell what rounding lost.
///
/// - Precondition: `type` is f32, f16 or bf16.
package func convertFloats(
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
      if stored != value { sums.isLossless = false }
      let difference = Double(stored) - Double(value)
      sums.squaredError += difference * difference
      sums.squaredSource += Double(value) * Double(value)
    }
  }
  return (buffer.bytes, sums)
}

/// bfloat16 bits, to nearest even; NaN stays NaN.
func bfloatBits(_ value: Float) -> UInt16 {
  let bits = value.bitPattern
  if value.isNaN { return UInt16(bits >> 16) | 0x40 }
  return UInt16(truncatingIfNeeded: (UInt64(bits) + 0x7fff + UInt64(bits >> 16 & 1)) >> 16)
}

/// The error sums of stored values against source values of the same count; a value that is not finite counts as an
/// infinite error unless both are the same.
package func differenceSums(_ stored: [Float], from source: [Float]) -> ErrorSums {
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
    $0.baseAddress.map { sumOfSquares($0, source.count) } ?? 0
  }
  if !sums.squaredSource.isFinite { sums.squaredSource = 1 }
  return sums
}
