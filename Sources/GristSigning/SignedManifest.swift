import GristCore
import GristSources

/// What a signature says: the files of a model, each with its hash, as an in-toto statement (OpenSSF Model Signing 1.0,
/// sections 5 and 6).
struct SignedManifest: Equatable {
  struct Resource: Equatable {
    let name: String
    let digest: String
  }

  static let statementType = "https://in-toto.io/Statement/v1"
  static let predicateType = "https://model_signing/signature/v1.0"
  /// That of the reference implementation 0.2.0, which is only read.
  private static let oldPredicateType = "https://model_signing/Digests/v0.1"

  let subject: String
  let resources: [Resource]
  /// Paths that were left out.
  let ignoredPaths: [String]
  /// Bytes of each part of a file that has a resource of its own; nil where whole files have.
  let shardBytes: Int?

  /// What the reference implementation, up to 1.1.1 at least, calls the file of a model that is one. The specification's
  /// text has the file's name instead, which that implementation refuses.
  static let onlyFile = "."

  /// Hashes a model.
  ///
  /// - Parameters:
  ///   - files: the model's.
  ///   - ignored: paths that were left out.
  ///   - namesFile: whether a model that is one file is called by the file's name.
  ///   - progress: hears the bytes that were read.
  ///
  /// - Throws: 65 for a model without a file, and what reading the files throws.
  init(_ files: ModelFiles, ignoring ignored: [String], namesFile: Bool, progress: (Int) -> Void) throws {
    guard !files.names.isEmpty else {
      throw GristError(.badData, "there is no file to sign", file: files.name, advice: "name a model")
    }
    subject = files.name
    resources = try files.names.map { name in
      Resource(
        name: files.isFile && !namesFile ? Self.onlyFile : name,
        digest: try files.sha256(of: name, progress: progress))
    }
    ignoredPaths = ModelFiles.excluded + ignored
    shardBytes = nil
  }

  /// One hash for all: of the resources' hashes, one behind the other.
  private static func rootDigest(_ resources: [Resource]) -> String {
    let hash = StreamingSHA256()
    for resource in resources { hash.update(Bytes(bytes(ofHexadecimal: resource.digest) ?? [])) }
    return hash.digits()
  }

  var json: JSONValue {
    [
      "_type": JSONValue(Self.statementType),
      "subject": [["name": JSONValue(subject), "digest": ["sha256": JSONValue(Self.rootDigest(resources))]]],
      "predicateType": JSONValue(Self.predicateType),
      "predicate": [
        "resources": .array(
          resources.map {
            ["name": JSONValue($0.name), "digest": JSONValue($0.digest), "algorithm": "sha256"]
          }),
        "serialization": [
          "method": "files", "hash_type": "sha256", "allow_symlinks": false, "ignore_paths": JSONValue(ignoredPaths),
        ],
      ],
    ]
  }

  /// - Throws: 65 when it is another statement, contradicts itself, or asks for what this version does not compute.
  init(_ json: JSONReader) throws {
    func failure(_ what: String, _ found: String? = nil) -> GristError {
      GristError(.badData, what, file: json.file, found: found, advice: "sign the model again")
    }
    guard try json.string("_type").hasPrefix("https://in-toto.io/Statement/v") else {
      throw failure("the signature is of something else than a statement", try json.string("_type"))
    }
    let subjects = try json.objects("subject")
    let kind = try json.string("predicateType")
    if kind == Self.oldPredicateType {
      subject = ""
      resources = try subjects.map {
        Resource(name: try $0.string("name"), digest: try $0.object("digest").string("sha256"))
      }
      (ignoredPaths, shardBytes) = ([], nil)
      guard !resources.isEmpty else { throw failure("the signature names no file") }
      return
    }
    guard kind == Self.predicateType, try json.string("_type") == Self.statementType else {
      throw failure("the signature is of something else than a model", kind)
    }
    guard subjects.count == 1, try !subjects[0].string("name").isEmpty else {
      throw failure("the signature must be of one model", "\(subjects.count)")
    }
    subject = try subjects[0].string("name")
    let predicate = try json.object("predicate")
    let serialization = try predicate.object("serialization")
    let method = try serialization.string("method")
    guard try serialization.string("hash_type") == "sha256", ["files", "shards"].contains(method) else {
      throw failure(
        "the signature's hashes are of a kind that this version does not compute",
        "\(method), \(try serialization.string("hash_type"))")
    }
    guard try !serialization.bool("allow_symlinks") else { throw failure("the signature follows links") }
    shardBytes = method == "shards" ? try serialization.integer("shard_size", in: 1...Int.max) : nil
    ignoredPaths = try serialization.strings("ignore_paths", default: [])
    resources = try predicate.objects("resources").map { resource in
      guard try resource.string("algorithm") == "sha256" else { throw resource.failure("algorithm", "sha256") }
      return Resource(name: try resource.string("name"), digest: try resource.string("digest").lowercased())
    }
    guard !resources.isEmpty else { throw failure("the signature names no file") }
    guard try subjects[0].object("digest").string("sha256") == Self.rootDigest(resources) else {
      throw failure("the signature contradicts itself: its hash of all files is not that of those that it names")
    }
  }
}

/// The bytes that hexadecimal digits stand for; nil where they stand for none.
private func bytes(ofHexadecimal text: String) -> [UInt8]? {
  let digits = text.utf8.map { Character(UnicodeScalar($0)).hexDigitValue }
  guard digits.count % 2 == 0 else { return nil }
  return stride(from: 0, to: digits.count, by: 2).reduce(into: [UInt8]?.some([])) { bytes, place in
    guard let high = digits[place], let low = digits[place + 1] else {
      bytes = nil
      return
    }
    bytes?.append(UInt8(high * 16 + low))
  }
}
