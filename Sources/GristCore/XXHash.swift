internal import CXXHash

/// XXH3, 64 bits, seed 0.
package func checksum(_ bytes: Bytes) -> UInt64 {
  bytes.withUnsafeBytes { XXH3_64bits($0.baseAddress, $0.count) }
}

/// XXH3, 64 bits, seed 0.
package func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 { XXH3_64bits(bytes.baseAddress, bytes.count) }

/// XXH3 with 128 bits over data that comes in pieces, for fingerprints of source tensors.
package struct StreamingFingerprint: ~Copyable {
  private let state: OpaquePointer

  package init() {
    // Allocation of a few hundred bytes; it fails only where nothing else works either.
    state = XXH3_createState()
    XXH3_128bits_reset(state)
  }

  deinit { XXH3_freeState(state) }

  package mutating func update(_ bytes: Bytes) {
    bytes.withUnsafeBytes { _ = XXH3_128bits_update(state, $0.baseAddress, $0.count) }
  }

  /// 32 hexadecimal digits, most significant first.
  package func digits() -> String {
    let hash = XXH3_128bits_digest(state)
    return hexadecimal(hash.high64) + hexadecimal(hash.low64)
  }
}

/// 16 hexadecimal digits, most significant first.
package func hexadecimal(_ value: UInt64) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: 16 - digits.count) + digits
}
