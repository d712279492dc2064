internal import CGristCrypto
import GristCore

/// SHA-256 (FIPS 180-4) over data that comes in pieces; libcrypto's.
package final class StreamingSHA256 {
  private let hash: UnsafeMutableRawPointer

  package init() {
    guard let hash = grist_sha256_new() else {
      preconditionFailure("libcrypto computes no SHA-256")
    }
    self.hash = hash
  }

  deinit { grist_sha256_free(hash) }

  package func update(_ bytes: Bytes) {
    bytes.withUnsafeBytes { grist_sha256_update(hash, $0.baseAddress, $0.count) }
  }

  /// 64 lower-case hexadecimal digits of what came so far.
  package func digits() -> String {
    digest().map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
  }

  /// The 32 bytes of what came so far.
  package func digest() -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    precondition(grist_sha256_digest(hash, &digest) == 1, "libcrypto computes no SHA-256")
    return digest
  }
}

/// The SHA-256 of some bytes, 64 lower-case hexadecimal digits.
package func sha256(_ bytes: Bytes) -> String {
  let hash = StreamingSHA256()
  hash.update(bytes)
  return hash.digits()
}
