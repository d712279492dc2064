internal import Crypto
import GristCore

/// SHA-256 (FIPS 180-4) over data that comes in pieces.
package struct StreamingSHA256 {
  private var hash = SHA256()

  package init() {}

  package mutating func update(_ bytes: Bytes) {
    bytes.withUnsafeBytes { hash.update(bufferPointer: $0) }
  }

  /// 64 lower-case hexadecimal digits of what came so far.
  package func digits() -> String {
    hash.finalize().map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
  }
}

/// The SHA-256 of some bytes, 64 lower-case hexadecimal digits.
package func sha256(_ bytes: Bytes) -> String {
  var hash = StreamingSHA256()
  hash.update(bytes)
  return hash.digits()
}
