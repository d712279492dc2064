internal import CGristCrypto
import GristCore

/// Keys and certificates in PEM, and what is done with them. Elliptic curves P-256, P-384 and P-521, each with the SHA-2
/// of its size (FIPS 186-5).
struct PEM: Sendable {
  let bytes: [UInt8]
  /// For messages.
  let file: String

  /// - Throws: 66 when the file is not there.
  init(path: String) throws {
    bytes = try readFile(path, limit: 1 << 20).array
    file = path
  }

  init(_ bytes: [UInt8], file: String) { (self.bytes, self.file) = (bytes, file) }

  /// - Throws: 65 where this is no private key that can sign.
  func sign(_ data: [UInt8]) throws -> [UInt8] {
    var signature = [UInt8](repeating: 0, count: Int(GRIST_SIGNATURE_BYTES))
    var count = signature.count
    try check(grist_signature_sign(bytes, bytes.count, data, data.count, &signature, &count), "a private key")
    return Array(signature.prefix(count))
  }

  /// A public key as libcrypto writes it, of a private key or of itself.
  ///
  /// - Throws: 65 where this is no such key.
  func publicKey(isPrivate: Bool) throws -> PEM {
    var text = [UInt8](repeating: 0, count: Int(GRIST_PUBLIC_KEY_BYTES))
    var count = text.count
    try check(
      grist_signature_public_key(bytes, bytes.count, isPrivate ? 1 : 0, &text, &count),
      isPrivate ? "a private key" : "a public key")
    return PEM(Array(text.prefix(count)), file: file)
  }

  /// Whether a signature is of some bytes, by this public key.
  ///
  /// - Throws: 65 where this is no public key.
  func verify(_ signature: [UInt8], of data: [UInt8], sha256: Bool = false) throws -> Bool {
    let result = grist_signature_verify(
      bytes, bytes.count, data, data.count, signature, signature.count, sha256 ? 1 : 0)
    if result == grist_signature_wrong { return false }
    try check(result, "a public key")
    return true
  }

  /// Whether a certificate, in DER, is of a private key.
  ///
  /// - Throws: 65 where one of them is none.
  func isCertificate(of key: PEM) throws -> Bool {
    let result = grist_signature_belongs(bytes, bytes.count, key.bytes, key.bytes.count)
    if result == grist_signature_mismatch { return false }
    try check(result, "a certificate and a private key")
    return true
  }

  /// The certificates' DER, in their order.
  ///
  /// - Throws: 65 where there is none.
  func certificates() throws -> [[UInt8]] {
    var found: [[UInt8]] = []
    let result = withUnsafeMutablePointer(to: &found) { found in
      grist_signature_certificates(bytes, bytes.count, found) { context, der, count in
        context?.assumingMemoryBound(to: [[UInt8]].self).pointee.append(
          Array(UnsafeBufferPointer(start: der, count: count)))
      }
    }
    try check(result, "a certificate")
    return found
  }

  /// The public key of a chain's first certificate, where the chain leads to one of these.
  ///
  /// - Throws: 1 (a disagreement) where it leads to none, one of them is not valid now, or it is for something else.
  func trustedKey(ofChain chain: [[UInt8]], file: String) throws -> PEM {
    var key = [UInt8](repeating: 0, count: Int(GRIST_PUBLIC_KEY_BYTES))
    var count = key.count
    let result = grist_signature_trust(
      chain.flatMap { $0 }, chain.map(\.count), chain.count, bytes, bytes.count, &key, &count)
    switch result {
    case grist_signature_ok: return PEM(Array(key.prefix(count)), file: file)
    case grist_signature_untrusted:
      throw GristError(
        .disagreement, "the signature's certificate leads to none that is trusted, or is not valid today", file: file,
        advice: "ask whoever signed the model")
    case grist_signature_other_usage:
      throw GristError(.disagreement, "the signature's certificate is not meant for signatures", file: file)
    default:
      try check(result, "certificates")
      throw GristError(.badData, "not certificates", file: file)
    }
  }

  private func check(_ result: grist_signature_result, _ kind: String) throws {
    switch result {
    case grist_signature_ok: return
    case grist_signature_no_key, grist_signature_no_certificate:
      throw GristError(
        .badData, "not \(kind) in PEM, or one with a password", file: file,
        advice: "make a key with `openssl ecparam -name prime256v1 -genkey -noout -out key.pem`")
    case grist_signature_other_key:
      throw GristError(
        .badData, "a key of another kind than signatures take", file: file, advice: "use P-256, P-384 or P-521")
    default: throw GristError(.badData, "libcrypto is not there, or cannot use \(kind)", file: file)
    }
  }
}
