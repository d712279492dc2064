import GristCore
import GristSources

/// Holds a model to a signature of it (OpenSSF Model Signing 1.0, section 8).
public struct SignatureVerification: Sendable {
  /// Whose signature it is to be.
  public enum Signer: Sendable {
    /// Of the private key that belongs to this public one: a path.
    case key(String)
    /// Of whoever has a certificate that leads to one of these: paths.
    case authorities([String])

    /// Of what a file in PEM holds: a public key, or certificates.
    ///
    /// - Throws: 66 when it is not there.
    public init(path: String) throws {
      let text = String(decoding: try PEM(path: path).bytes, as: UTF8.self)
      self = text.contains("BEGIN CERTIFICATE") ? .authorities([path]) : .key(path)
    }
  }

  private let signer: Signer
  private let ignoredPaths: [String]
  private let allowsOtherFiles: Bool

  /// - Parameters:
  ///   - signer: whose signature it is to be.
  ///   - ignored: paths from the model's folder that are not looked at, beside those that the signature leaves out.
  ///   - allowsOtherFiles: whether there may be files that the signature does not name.
  public init(_ signer: Signer, ignoring ignored: [String] = [], allowsOtherFiles: Bool = false) {
    self.signer = signer
    ignoredPaths = ignored
    self.allowsOtherFiles = allowsOtherFiles
  }

  /// - Parameters:
  ///   - path: the model, a file or a folder.
  ///   - signature: path of the bundle.
  ///   - progress: hears the bytes that were read.
  ///
  /// - Returns: how many files the signature is of.
  /// - Throws: 1 (a disagreement) when the signature is somebody else's, or the model is not what was signed; 65 when it
  ///   is no signature, or one of a kind that this version does not verify; 66 when a file is not there.
  public func verify(_ path: String, signature: String, progress: (Int) -> Void = { _ in }) throws -> Int {
    let bundle = try SignatureBundle(readFile(signature, limit: SignatureBundle.limit), file: signature)
    try verifySigner(bundle, file: signature)
    let json = try locating(file: signature) { try JSONValue.parse(Bytes(bundle.payload)) }
    let manifest = try SignedManifest(JSONReader(json, file: signature))
    let ignored = try manifest.ignoredPaths + ignoredPaths.map { try relativePath($0, to: path) }
    let files = try ModelFiles(path: path, ignoring: ignored, signature: signature)
    try compare(manifest, files, ignored, path, progress)
    return manifest.resources.count
  }

  /// - Throws: 1 when the bundle is not signed by whom it should be, 65 when it is of another kind.
  func verifySigner(_ bundle: SignatureBundle, file: String) throws {
    let key: PEM
    switch (signer, bundle.material) {
    case (.key(let path), .key(let hint)):
      key = try PEM(path: path).publicKey(isPrivate: false)
      if let hint, hint != sha256(Bytes(key.bytes)) {
        throw GristError(
          .disagreement, "the signature is of another key", file: file, found: hint.shortened(),
          advice: "ask whoever signed the model for the public key")
      }
    case (.authorities(let paths), .certificates(let chain)):
      let trusted = PEM(try paths.flatMap { try PEM(path: $0).bytes + [0x0a] }, file: paths[0])
      key = try trusted.trustedKey(ofChain: chain, file: file)
    case (.key, .certificates):
      throw GristError(.badData, "a signature by certificates", file: file, advice: "name a --trust, not a --key")
    case (.authorities, .key):
      throw GristError(.badData, "a signature by a key alone", file: file, advice: "name a --key, not a --trust")
    }
    let isRight = try bundle.signatures.contains { signature in
      let encoded = SignatureBundle.encoded(bundle.payload)
      if try key.verify(signature, of: encoded) { return true }
      // Version 0.2.0 of the reference implementation signed something else, always with SHA-256.
      let old = SignatureBundle.encodedOfOld(bundle.payload)
      return try key.verify(signature, of: old) || key.verify(signature, of: old, sha256: true)
    }
    guard isRight else {
      throw GristError(
        .disagreement, "the signature is not of this statement by this key", file: file,
        advice: "the signature or the key is another one's, or was changed")
    }
  }

  private func compare(
    _ manifest: SignedManifest, _ files: ModelFiles, _ ignored: [String], _ path: String, _ progress: (Int) -> Void
  ) throws {
    let present = Set(files.names.map { ByteName($0) })
    var signed: Set<ByteName> = []
    for resource in manifest.resources {
      var (name, range) = try place(of: resource, manifest, path)
      if files.isFile, name == SignedManifest.onlyFile { name = files.names[0] }
      guard present.contains(ByteName(name)) else {
        throw GristError(.disagreement, "a file that was signed is not there", file: path, found: name.shortened())
      }
      signed.insert(ByteName(name))
      let digest = try files.sha256(of: name, range: range, progress: progress)
      guard digest == resource.digest else {
        throw GristError(
          .disagreement, "the file is not what was signed", file: path == name ? path : joinPath(path, name),
          found: "SHA-256 \(digest) instead of \(resource.digest)")
      }
    }
    if let bytes = manifest.shardBytes { try requireWhole(manifest, files, bytes, path) }
    guard !allowsOtherFiles else { return }
    for name in files.names where !signed.contains(ByteName(name)) {
      // An empty file has no shard.
      if manifest.shardBytes != nil, try files.byteCount(of: name) == 0 { continue }
      throw GristError(
        .disagreement, "a file is there that was not signed", file: joinPath(path, name),
        advice: "remove it, or pass --ignore-unsigned-files")
    }
  }

  /// Which file a resource is of, and which part of it.
  private func place(
    of resource: SignedManifest.Resource, _ manifest: SignedManifest, _ path: String
  ) throws -> (name: String, range: Range<Int>?) {
    guard let bytes = manifest.shardBytes else { return (resource.name, nil) }
    let parts = resource.name.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count > 2, let start = Int(parts[parts.count - 2]), let end = Int(parts[parts.count - 1]), start >= 0,
      start < end, start % bytes == 0, end - start <= bytes
    else {
      throw GristError(.badData, "a part of a file that the signature names makes no sense", found: resource.name)
    }
    return (parts.dropLast(2).joined(separator: ":"), start..<end)
  }

  /// The parts that were signed are all of every file.
  private func requireWhole(_ manifest: SignedManifest, _ files: ModelFiles, _ bytes: Int, _ path: String) throws {
    var ends: [ByteName: Int] = [:]
    for resource in manifest.resources {
      let (name, range) = try place(of: resource, manifest, path)
      ends[ByteName(name), default: 0] += range?.count ?? 0
    }
    for (name, end) in ends where try files.byteCount(of: name.text) != end {
      throw GristError(
        .disagreement, "the file is longer than what was signed", file: path, found: name.text.shortened())
    }
  }
}
