internal import CZstd
import GristCore

/// How one chunk's payload is stored.
package enum ChunkCodec: UInt8, Sendable {
  /// As it is.
  case raw = 0
  /// One zstd frame.
  case zstd = 1
  /// 16-bit floats: each element rotated left by one bit; the plane of upper bytes as one zstd frame, with its length
  /// in a u32 before it, then the plane of lower bytes as it is.
  case planes16 = 2
  /// 32-bit floats, likewise: the plane of top bytes packed, then the three planes below it, most significant first.
  case planes32 = 3
}

/// Whether a file's chunks are packed.
public enum Packing: String, Sendable, CaseIterable { case zstd, raw }

/// A chunk ready to be written.
package struct PackedChunk: Sendable {
  package let codec: ChunkCodec
  package let payloadLength: Int
  package let stored: Bytes

  init(codec: ChunkCodec, payloadLength: Int, stored: Bytes) {
    (self.codec, self.payloadLength, self.stored) = (codec, payloadLength, stored)
  }

  /// Packs a payload; what would not shrink by at least a fiftieth stays raw. `element` is the type of a plain tensor.
  ///
  /// - Throws: 74 when libzstd fails.
  package init(_ payload: Bytes, packing: Packing, element: ElementType? = nil) throws {
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
      case .planes16: try BytePlanes<UInt16>.pack(payload)
      case .planes32: try BytePlanes<UInt32>.pack(payload)
      }
    // What no reader would unpack stays raw, too.
    if let packed, packed.count < payload.count - payload.count / 50,
      payload.count <= max(GristLayout.boundlessPayload, packed.count * GristLayout.greatestRatio)
    {
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
  if codec == .raw {
    guard stored.count == payloadLength else { throw damaged("its lengths differ") }
    return stored
  }
  let buffer = AlignedBuffer(byteCount: payloadLength)
  try buffer.withUnsafeMutableBytes { try unpack(stored, codec: codec, into: $0) }
  return buffer.bytes
}

/// Restores a payload into memory that is just as long, and aligned to 64 bytes.
///
/// - Throws: 65 when the stored bytes do not decode to exactly so many.
func unpack(_ stored: Bytes, codec: ChunkCodec, into target: UnsafeMutableRawBufferPointer) throws {
  switch codec {
  case .raw:
    guard stored.count == target.count else { throw damaged("its lengths differ") }
    stored.withUnsafeBytes { target.copyMemory(from: $0) }
  case .zstd: try decompress(stored, into: target)
  case .planes16: try BytePlanes<UInt16>.unpack(stored, into: target)
  case .planes32: try BytePlanes<UInt32>.unpack(stored, into: target)
  }
}

func damaged(_ why: String) -> GristError {
  GristError(.badData, "a chunk does not unpack", found: why, advice: "the file is damaged: fetch it again")
}

func compress(_ payload: Bytes, parameters: [(ZSTD_cParameter, Int32)]) throws -> Bytes {
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

func decompress(_ stored: Bytes, into target: UnsafeMutableRawBufferPointer) throws {
  let declared = stored.withUnsafeBytes { ZSTD_getFrameContentSize($0.baseAddress, $0.count) }
  guard declared == UInt64(target.count) else { throw damaged("a frame of another length") }
  let frame = stored.withUnsafeBytes { ZSTD_findFrameCompressedSize($0.baseAddress, $0.count) }
  guard frame == stored.count else { throw damaged("a frame that is cut off, or something after it") }
  let length = stored.withUnsafeBytes { source in
    ZSTD_decompress(target.baseAddress, target.count, source.baseAddress, source.count)
  }
  guard ZSTD_isError(length) == 0 else { throw damaged(String(cString: ZSTD_getErrorName(length))) }
  guard length == target.count else { throw damaged("\(length) bytes instead of \(target.count)") }
}
