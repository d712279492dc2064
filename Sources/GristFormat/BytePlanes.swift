internal import CZstd
import GristCore

/// Floats of one width with their exponents apart, packed.
///
/// A float's exponent straddles its two top bytes. Rotated left by one bit, the top byte is the exponent alone, which
/// takes few values and packs to a third; sign and mantissa are noise and stay as they are, a plane of bytes after the
/// other.
enum BytePlanes<Word: FixedWidthInteger & UnsignedInteger> {
  private static var width: Int { MemoryLayout<Word>.size }

  /// u32 length of the packed exponents, these, the other planes; nil for a payload that is not whole words.
  ///
  /// - Throws: 74 when libzstd fails.
  static func pack(_ payload: Bytes) throws -> Bytes? {
    guard payload.count % width == 0, payload.count > 0 else { return nil }
    let count = payload.count / width
    let planes = AlignedBuffer(byteCount: payload.count)
    payload.withUnsafeBytes { source in
      planes.withUnsafeMutableBytes { target in
        guard let from = source.baseAddress, let to = target.baseAddress else { return }
        // A plane at a time, so that the compiler makes vectors of it.
        for plane in 0..<width {
          let out = (to + plane * count).assumingMemoryBound(to: UInt8.self)
          let shift = Word.bitWidth - 8 - 8 * plane
          for index in 0..<count {
            let bits = from.loadUnaligned(fromByteOffset: index * width, as: Word.self)
            out[index] = UInt8(truncatingIfNeeded: (bits &<< 1 | bits &>> Word(Word.bitWidth - 1)) &>> Word(shift))
          }
        }
      }
    }
    guard let exponents = planes.bytes.slice(0, count), let rest = planes.bytes.slice(count, payload.count - count)
    else { return nil }
    let packed = try compress(
      exponents,
      parameters: [
        (ZSTD_c_compressionLevel, 1), (ZSTD_c_strategy, Int32(ZSTD_fast.rawValue)), (ZSTD_c_minMatch, 7),
        (ZSTD_c_hashLog, 6),
      ])
    let out = AlignedBuffer(byteCount: 4 + packed.count + rest.count)
    out.withUnsafeMutableBytes { target in
      target.storeBytes(of: UInt32(packed.count).littleEndian, as: UInt32.self)
      packed.withUnsafeBytes { target[4...].copyBytes(from: $0) }
      rest.withUnsafeBytes { target[(4 + packed.count)...].copyBytes(from: $0) }
    }
    return out.bytes
  }

  /// Fills `target`, which is aligned for any word.
  ///
  /// - Throws: 65 when the stored bytes do not make exactly so many.
  static func unpack(_ stored: Bytes, into target: UnsafeMutableRawBufferPointer) throws {
    let payloadLength = target.count
    guard payloadLength % width == 0, let packedLength = stored.integer(at: 0, as: UInt32.self),
      let packed = stored.slice(4, Int(packedLength)),
      let rest = stored.slice(4 + packed.count, payloadLength - payloadLength / width),
      stored.count == 4 + packed.count + rest.count
    else { throw damaged("planes of another length") }
    let count = payloadLength / width
    let exponents = AlignedBuffer(byteCount: count)
    try exponents.withUnsafeMutableBytes { try decompress(packed, into: $0) }
    exponents.bytes.withUnsafeBytes { top in
      rest.withUnsafeBytes { rest in
        guard let top = top.baseAddress, let rest = rest.baseAddress, let to = target.baseAddress else { return }
        let words = to.assumingMemoryBound(to: Word.self)
        for plane in 0..<width {
          let bytes = (plane == 0 ? top : rest + (plane - 1) * count).assumingMemoryBound(to: UInt8.self)
          let shift = Word(Word.bitWidth - 8 - 8 * plane)
          if plane == 0 {
            for index in 0..<count { words[index] = Word(bytes[index]) &<< shift }
          } else {
            for index in 0..<count { words[index] |= Word(bytes[index]) &<< shift }
          }
        }
        for index in 0..<count {
          words[index] = words[index] &>> 1 | words[index] &<< Word(Word.bitWidth - 1)
        }
      }
    }
  }
}
