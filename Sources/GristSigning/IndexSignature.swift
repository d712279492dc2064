internal import FoundationEssentials
import GristCore
import GristFormat
import GristSources

/// A signature that lies in the `.grist` file which it is of: over the file's index, and through a SHA-256 of every
/// chunk over all else. So the file can be moved as one, a byte is checked when it is first used and not before, and
/// the signature does not change what it signs.
///
/// It is kept as a bundle like a detached one, of a statement of its own kind (`Formats/grist-v1.md`).
public struct IndexSignature: Sendable {
  static let name = "signature/index.sigstore.json"
  private static let predicateType = "urn:gristmill:index-signature:v1"
  private static let digestBytes = 32

  /// What the statement says of the file.
  private struct Statement {
    let place: IndexPlace
    /// SHA-256 of the index's bytes.
    let index: String
    /// SHA-256 of every chunk's stored bytes, one behind the other; zeros for one that is free.
    let chunks: [UInt8]

    func json(name: String) -> JSONValue {
      let root = StreamingSHA256()
      root.update(Bytes(Array(index.utf8)))
      root.update(Bytes(chunks))
      return [
        "_type": JSONValue(SignedManifest.statementType),
        "subject": [["name": JSONValue(name), "digest": ["sha256": JSONValue(root.digits())]]],
        "predicateType": JSONValue(IndexSignature.predicateType),
        "predicate": [
          "index": [
            "offset": JSONValue(place.offset), "bytes": JSONValue(place.byteCount),
            "manifest_bytes": JSONValue(place.manifestLength), "sha256": JSONValue(index),
          ],
          "chunks": JSONValue(Data(chunks).base64EncodedString()),
        ],
      ]
    }

    init(_ file: GristFile) throws {
      place = file.indexPlace
      index = sha256(try file.indexBytes(at: place))
      var digests: [UInt8] = []
      try file.forEachStoredChunk { stored in
        guard let stored else {
          digests += [UInt8](repeating: 0, count: IndexSignature.digestBytes)
          return
        }
        let hash = StreamingSHA256()
        hash.update(stored)
        digests += hash.digest()
      }
      chunks = digests
    }

    init(_ json: JSONReader) throws {
      guard try json.string("_type") == SignedManifest.statementType,
        try json.string("predicateType") == IndexSignature.predicateType
      else {
        throw GristError(.badData, "the signature is of something else than an index", file: json.file)
      }
      let predicate = try json.object("predicate")
      let index = try predicate.object("index")
      let range = 0...Int.max
      place = IndexPlace(
        offset: try index.integer("offset", in: range), byteCount: try index.integer("bytes", in: range),
        manifestLength: try index.integer("manifest_bytes", in: range))
      self.index = try index.string("sha256")
      guard let data = Data(base64Encoded: try predicate.string("chunks")),
        data.count % IndexSignature.digestBytes == 0
      else { throw predicate.failure("chunks", "hashes in base64") }
      chunks = Array(data)
    }

    func digest(ofChunk index: Int) -> ArraySlice<UInt8> {
      chunks[index * IndexSignature.digestBytes..<(index + 1) * IndexSignature.digestBytes]
    }

    var chunkCount: Int { chunks.count / IndexSignature.digestBytes }
  }

  /// For people: whose signature a file says that it has, which is not looked at; nil where it has none.
  public static func claim(in file: GristFile) -> String? {
    guard let bytes = try? file.sideFile(named: name) else { return nil }
    guard let bundle = try? SignatureBundle(bytes, file: file.path) else { return "one that cannot be read" }
    switch bundle.material {
    case .key(let hint): return "by the key \(hint.map { String($0.prefix(16)) + "…" } ?? "that it brings")"
    case .certificates(let chain): return "by the first of \(chain.count) certificates"
    }
  }

  /// Puts a signature of all that a file holds into it, in place of any it had. Reads all of it once.
  ///
  /// - Parameters:
  ///   - path: the `.grist` file.
  ///   - signing: whose it is.
  ///
  /// - Throws: 65 when the file is damaged, 74 when it cannot be written, 130 when the user interrupts.
  public static func add(to path: String, by signing: Signing) throws {
    let file = try GristFile(path: path)
    let addition = try Addition(to: file)
    let payload = Array(try Statement(file).json(name: fileName(of: path)).text().utf8)
    let bundle = Bytes(Array(try signing.bundle(of: payload).json.text().utf8))
    try addition.finish(adding: name, bundle, sha256: sha256(bundle), segment: "signature")
  }

  /// Opens a file that must be signed: of its chunks each is held to what was signed when it is first used, and nothing
  /// can be used that was not.
  ///
  /// - Parameters:
  ///   - path: the `.grist` file.
  ///   - signer: whose signature it must have.
  ///
  /// - Throws: 1 (a disagreement) when it has no signature, or one of somebody else; 65 when it is damaged, or not what
  ///   was signed.
  public static func open(_ path: String, by signer: SignatureVerification.Signer) throws -> GristFile {
    let file = try GristFile(path: path)
    guard let bytes = try file.sideFile(named: name) else {
      throw GristError(
        .disagreement, "the file has no signature inside", file: path,
        advice: "sign it with `gristmill sign --into`, or do not ask for one")
    }
    let place = "\(path), \(name)"
    let bundle = try SignatureBundle(bytes, file: place)
    try SignatureVerification(signer).verifySigner(bundle, file: place)
    let json = try locating(file: place) { try JSONValue.parse(Bytes(bundle.payload)) }
    let statement = try Statement(JSONReader(json, file: place))
    guard sha256(try file.indexBytes(at: statement.place)) == statement.index else {
      throw GristError(
        .disagreement, "the file's index is not what was signed", file: path, offset: UInt64(statement.place.offset))
    }
    let count = try file.requireOnlyAdditions(since: statement.place) { $0.hasPrefix("signature/") }
    guard count == statement.chunkCount else {
      throw GristError(.badData, "the signature is of another number of chunks", file: place, found: "\(count)")
    }
    return file.asking { chunk, stored in
      // What came later is the signature, whose bytes were looked at above.
      guard chunk < statement.chunkCount else { return }
      let hash = StreamingSHA256()
      hash.update(stored)
      guard hash.digest().elementsEqual(statement.digest(ofChunk: chunk)) else {
        throw GristError(
          .badData, "chunk \(chunk) is not what was signed", file: path,
          advice: "the file was changed after it was signed: fetch it again")
      }
    }
  }
}
