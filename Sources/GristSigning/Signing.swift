import GristCore
import GristSources

/// Signs a model, a file or a folder, in the format of the OpenSSF Model Signing specification 1.0: a detached bundle
/// over whole files, which the `model_signing` package verifies too.
public struct Signing: Sendable {
  private let key: PEM
  private let chain: [[UInt8]]
  private let ignoredPaths: [String]

  /// - Parameters:
  ///   - key: path of the private key, in PEM.
  ///   - certificate: path of its certificate; nil signs by the key alone.
  ///   - authorities: paths of the certificates that it leads to.
  ///   - ignored: paths from the model's folder that are left out.
  ///
  /// - Throws: 66 when a file is not there, 65 when it is no such key or certificate, or both do not belong together.
  public init(
    key: String, certificate: String? = nil, authorities: [String] = [], ignoring ignored: [String] = []
  ) throws {
    self.key = try PEM(path: key)
    ignoredPaths = ignored
    _ = try self.key.publicKey(isPrivate: true)
    guard let certificate else {
      chain = []
      return
    }
    let leaf = try PEM(path: certificate).certificates()[0]
    guard try PEM(leaf, file: certificate).isCertificate(of: self.key) else {
      throw GristError(.badData, "the certificate is not of this key", file: certificate)
    }
    chain = [leaf] + (try authorities.flatMap { try PEM(path: $0).certificates() })
  }

  /// Signs a model.
  ///
  /// - Parameters:
  ///   - path: a file or a folder.
  ///   - output: where the bundle is written; a file of that name in the model is left out.
  ///   - namesFile: whether a model that is one file is called by the file's name, as the specification's text has it;
  ///     else as the package `model_signing` calls it, which refuses the other.
  ///   - progress: hears the bytes that were read.
  ///
  /// - Throws: 66 when there is no model; 65 when it holds no file, or a link; 74 when the bundle cannot be written.
  public func sign(
    _ path: String, to output: AtomicFile, namesFile: Bool = false, progress: (Int) -> Void = { _ in }
  ) throws {
    let ignored = try ignoredPaths.map { try relativePath($0, to: path) }
    let files = try ModelFiles(path: path, ignoring: ignored, signature: output.path)
    let manifest = try SignedManifest(files, ignoring: ignored, namesFile: namesFile, progress: progress)
    let payload = Array(manifest.json.text().utf8)
    let bundle = try bundle(of: payload)
    try output.finish(with: Bytes(Array((bundle.json.text() + "\n").utf8)))
  }

  /// A statement, signed.
  func bundle(of payload: [UInt8]) throws -> SignatureBundle {
    let material: SignatureBundle.Material =
      chain.isEmpty ? .key(hint: sha256(Bytes(try key.publicKey(isPrivate: true).bytes))) : .certificates(chain)
    return SignatureBundle(
      material: material, payload: payload, signature: try key.sign(SignatureBundle.encoded(payload)))
  }
}

extension OutputKind {
  /// A signature.
  public static let signature = OutputKind(name: "a signature", containing: "sigstore.bundle")
}

/// - Throws: 64 for a path that lies outside of the model.
func relativePath(_ path: String, to model: String) throws -> String {
  guard let relative = ModelFiles.relative(path, to: model), !relative.split(separator: "/").contains("..") else {
    throw GristError(.usage, "a path to leave out lies outside of the model", file: path)
  }
  return relative
}
