internal import COpenSSL
import GristCore

/// SHA-256 (FIPS 180-4) over data that comes in pieces; libcrypto's.
package final class StreamingSHA256 {
  private let context: OpaquePointer

  package init() {
    // It fails only where memory does, which ends the program with a sentence of its own.
    guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
      preconditionFailure("libcrypto computes no SHA-256")
    }
    self.context = context
  }

  deinit { EVP_MD_CTX_free(context) }

  package func update(_ bytes: Bytes) {
    _ = bytes.withUnsafeBytes { EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
  }

  /// 64 lower-case hexadecimal digits of what came so far.
  package func digits() -> String {
    digest().map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
  }

  /// The 32 bytes of what came so far.
  package func digest() -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    // Of a copy: more may come.
    let copy = EVP_MD_CTX_new()
    defer { EVP_MD_CTX_free(copy) }
    precondition(EVP_MD_CTX_copy_ex(copy, context) == 1 && EVP_DigestFinal_ex(copy, &digest, nil) == 1)
    return digest
  }
}

/// The SHA-256 of some bytes, 64 lower-case hexadecimal digits.
package func sha256(_ bytes: Bytes) -> String {
  let hash = StreamingSHA256()
  hash.update(bytes)
  return hash.digits()
}
