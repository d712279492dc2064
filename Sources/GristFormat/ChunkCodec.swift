internal import CZstd
import GristCore

/// How one chunk's payload is stored.
public enum ChunkCodec: UInt8, Sendable {
  /// As it is.
  case raw = 0
  /// One zstd frame.
  case zstd = 1
  /// 16-bit floats: each element rotated left by one bit; the plane of upper bytes as one zstd frame, with its length
  /// in a u32 before it, then the plane of lower bytes as it is.
  case planes16 = 2
  /// 32-bit floats, likewise: the plane of top bytes packed, then the three planes below it, most significant first.
  case planes32 = 3

  var elementWidth: Int { self == .planes16 ? 2 : 4 }
}

/// Whether a file's chunks are packed.
public enum Packing: String, Sendable, CaseIterable { case zstd, raw }

/// A chunk ready to be written.
public struct PackedChunk: Sendable {
  public let codec: ChunkCodec
  public let payloadLength: Int
  public let stored: Bytes

  init(codec: ChunkCodec, payloadLength: Int, stored: Bytes) {
    (self.codec, self.payloadLength, self.stored) = (codec, payloadLength, stored)
  }

  /// Packs a payload; what would not shrink by at least a fiftieth stays raw. `element` is the type of a plain tensor.
  ///
  /// - Throws: 74 when libzstd fails.
  public init(_ payload: Bytes, packing: Packing, element: ElementType? = nil) throws {
    payloadLength = payload.count
    let codec: ChunkCodec =
      switch (packing, element) {
      case (.raw, _): .raw
      case (.zstd, .f16), (.zstd, .bf16): .planes16
      case (.zstd, .f32): .planes32
      default: .zstd
      }
    let packed: Bytes? =
      switch codec {
      case .raw: nil
      case .zstd: try compress(payload, parameters: [(ZSTD_c_compressionLevel, 1)])
      case .planes16, .planes32: try packPlanes(payload, width: codec.elementWidth)
      }
    if let packed, packed.count < payload.count - payload.count / 50 {
      (self.codec, stored) = (codec, packed)
    } else {
      (self.codec, stored) = (.raw, payload)
    }
  }
}

/// Restores a payload.
///
/// - Throws: 65 when the stored bytes do not decode to exactly `payloadLength` bytes.
func unpack(_ stored: Bytes, codec: ChunkCodec, payloadLength: Int) throws -> Bytes {
  switch codec {
  case .raw:
    guard stored.count == payloadLength else { throw damaged("its lengths differ") }
    return stored
  case .zstd: return try decompress(stored, to: payloadLength)
  case .planes16, .planes32: return try unpackPlanes(stored, width: codec.elementWidth, payloadLength: payloadLength)
  }
}

private func damaged(_ why: String) -> GristError {
  GristError(.badData, "a chunk does not unpack", found: why, advice: "the file is damaged: fetch it again")
}

private func compress(_ payload: Bytes, parameters: [(ZSTD_cParameter, Int32)]) throws -> Bytes {
  let context = ZSTD_createCCtx()
  defer { ZSTD_freeCCtx(context) }
  for (parameter, value) in parameters { ZSTD_CCtx_setParameter(context, parameter, value) }
  let bound = ZSTD_compressBound(payload.count)
  let buffer = AlignedBuffer(byteCount: bound)
  let length = payload.withUnsafeBytes { source in
    buffer.withUnsafeMutableBytes { target in
      ZSTD_compress2(context, target.baseAddress, target.count, source.baseAddress, source.count)
    }
  }
  guard ZSTD_isError(length) == 0, let packed = buffer.bytes.slice(0, length) else {
    throw GristError(.inputOutput, "zstd failed: \(String(cString: ZSTD_getErrorName(length)))")
  }
  return packed
}

private func decompress(_ stored: Bytes, to payloadLength: Int) throws -> Bytes {
  let declared = stored.withUnsafeBytes { ZSTD_getFrameContentSize($0.baseAddress, $0.count) }
  guard declared == UInt64(payloadLength) else { throw damaged("a frame of another length") }
  let frame = stored.withUnsafeBytes { ZSTD_findFrameCompressedSize($0.baseAddress, $0.count) }
  guard frame == stored.count else { throw damaged("a frame that is cut off, or something after it") }
  let buffer = AlignedBuffer(byteCount: payloadLength)
  let length = stored.withUnsafeBytes { source in
    buffer.withUnsafeMutableBytes { target in
      ZSTD_decompress(target.baseAddress, target.count, source.baseAddress, source.count)
    }
  }
  guard ZSTD_isError(length) == 0 else { throw damaged(String(cString: ZSTD_getErrorName(length))) }
  guard length == payloadLength else { throw damaged("\(length) bytes instead of \(payloadLength)") }
  return buffer.bytes
}

// A float's exponent straddles its two top bytes. Rotated left by one bit, the top byte is the exponent alone, which
// takes few values and packs to a third; sign and mantissa are noise and stay as they are.

private func packPlanes(_ payload: Bytes, width: Int) throws -> Bytes? {
  guard payload.count % width == 0, payload.count > 0 else { return nil }
  let count = payload.count / width
  let planes = AlignedBuffer(byteCount: payload.count)
  payload.withUnsafeBytes { source in
    planes.withUnsafeMutableBytes { target in
      for index in 0..<count {
        if width == 2 {
          let bits = source.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)
          let rotated = bits << 1 | bits >> 15
          target[index] = UInt8(truncatingIfNeeded: rotated >> 8)
          target[count + index] = UInt8(truncatingIfNeeded: rotated)
        } else {
          let bits = source.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self)
          let rotated = bits << 1 | bits >> 31
          for plane in 0..<4 {
            target[plane * count + index] = UInt8(truncatingIfNeeded: rotated >> UInt32(24 - 8 * plane))
          }
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

private func unpackPlanes(_ stored: Bytes, width: Int, payloadLength: Int) throws -> Bytes {
  guard payloadLength % width == 0, let packedLength = stored.integer(at: 0, as: UInt32.self),
    let packed = stored.slice(4, Int(packedLength)),
    let rest = stored.slice(4 + packed.count, payloadLength - payloadLength / width),
    stored.count == 4 + packed.count + rest.count
  else { throw damaged("planes of another length") }
  let count = payloadLength / width
  let exponents = try decompress(packed, to: count)
  let out = AlignedBuffer(byteCount: payloadLength)
  exponents.withUnsafeBytes { top in
    rest.withUnsafeBytes { rest in
      out.withUnsafeMutableBytes { target in
        for index in 0..<count {
          if width == 2 {
            let rotated = UInt16(top[index]) << 8 | UInt16(rest[index])
            target.storeBytes(of: rotated >> 1 | rotated << 15, toByteOffset: index * 2, as: UInt16.self)
          } else {
            let rotated =
              UInt32(top[index]) << 24 | UInt32(rest[index]) << 16 | UInt32(rest[count + index]) << 8
              | UInt32(rest[2 * count + index])
            target.storeBytes(of: rotated >> 1 | rotated << 31, toByteOffset: index * 4, as: UInt32.self)
          }
        }
      }
    }
  }
  return out.bytes
}
