internal import FoundationEssentials
import GristCore
import GristSources

/// A signature as it is kept: a DSSE envelope around a statement, with what tells whose it is, in a Sigstore bundle
/// (OpenSSF Model Signing 1.0, section 4).
struct SignatureBundle {
  /// What tells whose a signature is.
  enum Material {
    /// The SHA-256 of the public key in PEM; nil in bundles of old that hold the key itself, which is not asked.
    case key(hint: String?)
    /// Certificates in DER, the signing one first.
    case certificates([[UInt8]])
  }

  static let mediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
  private static let mediaTypes: Set<String> = [
    mediaType, "application/vnd.dev.sigstore.bundle+json;version=0.1",
    "application/vnd.dev.sigstore.bundle+json;version=0.2", "application/vnd.dev.sigstore.bundle+json;version=0.3",
  ]
  static let payloadType = "application/vnd.in-toto+json"
  static let limit = 256 << 20

  let material: Material
  let payload: [UInt8]
  let signatures: [[UInt8]]

  init(material: Material, payload: [UInt8], signature: [UInt8]) {
    (self.material, self.payload, signatures) = (material, payload, [signature])
  }

  /// What is signed: DSSE's pre-authentication encoding.
  static func encoded(_ payload: [UInt8]) -> [UInt8] {
    Array("DSSEv1 \(payloadType.utf8.count) \(payloadType) \(payload.count) ".utf8) + payload
  }

  /// The same as version 0.2.0 of the reference implementation had it: the payload as Python writes bytes down.
  static func encodedOfOld(_ payload: [UInt8]) -> [UInt8] {
    let quote: UInt8 = payload.contains(0x27) && !payload.contains(0x22) ? 0x22 : 0x27
    let written = payload.flatMap { byte -> [UInt8] in
      switch byte {
      case 0x0a: Array(#"\n"#.utf8)
      case 0x0d: Array(#"\r"#.utf8)
      case 0x09: Array(#"\t"#.utf8)
      case 0x5c, quote: [0x5c, byte]
      case 0x20..<0x7f: [byte]
      default: Array("\\x\(byte < 16 ? "0" : "")\(String(byte, radix: 16))".utf8)
      }
    }
    return Array("DSSEV1 \(payloadType.utf8.count) \(payloadType) \(payload.count) b".utf8) + [quote] + written + [
      quote
    ]
  }

  var json: JSONValue {
    let material: JSONValue =
      switch self.material {
      case .key(let hint): ["publicKey": ["hint": JSONValue(hint ?? "")], "tlogEntries": []]
      case .certificates(let chain):
        [
          "x509CertificateChain": ["certificates": .array(chain.map { ["rawBytes": JSONValue(base64($0))] })],
          "tlogEntries": [],
        ]
      }
    return [
      "mediaType": JSONValue(Self.mediaType), "verificationMaterial": material,
      "dsseEnvelope": [
        "payload": JSONValue(base64(payload)), "payloadType": JSONValue(Self.payloadType),
        "signatures": .array(signatures.map { ["sig": JSONValue(base64($0)), "keyid": ""] }),
      ],
    ]
  }

  /// - Throws: 65 where it is no such bundle.
  init(_ bytes: Bytes, file: String) throws {
    let json = try JSONReader(locating(file: file) { try JSONValue.parse(bytes) }, file: file)
    guard Self.mediaTypes.contains(try json.string("mediaType")) else {
      throw GristError(.badData, "not a signature of a model", file: file, found: try json.string("mediaType"))
    }
    let envelope = try json.object("dsseEnvelope")
    guard try envelope.string("payloadType") == Self.payloadType else {
      throw envelope.failure("payloadType", Self.payloadType)
    }
    payload = try Self.decoded(envelope, "payload")
    signatures = try envelope.objects("signatures").map { try Self.decoded($0, "sig") }
    guard !signatures.isEmpty else { throw envelope.failure("signatures", "at least one") }
    let material = try json.object("verificationMaterial")
    if material.has("publicKey") {
      let key = try material.object("publicKey")
      self.material = .key(hint: key.has("hint") ? try key.string("hint") : nil)
    } else if material.has("x509CertificateChain") {
      let chain = try material.object("x509CertificateChain").objects("certificates")
      self.material = .certificates(try chain.map { try Self.decoded($0, "rawBytes") })
    } else {
      throw GristError(
        .badData, "a signature by neither a key nor certificates", file: file,
        found: material.object.names.joined(separator: ", "),
        advice: "verify keyless signatures with the model_signing package, which asks Sigstore")
    }
  }

  private static func decoded(_ json: JSONReader, _ name: String) throws -> [UInt8] {
    guard let data = Data(base64Encoded: try json.string(name)) else { throw json.failure(name, "base64") }
    return Array(data)
  }
}

private func base64(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }
