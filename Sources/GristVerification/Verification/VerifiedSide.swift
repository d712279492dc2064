import GristCore
import GristSources

/// One of the two that a verification compares, as far as a reader may want to tell it from others.
public struct VerifiedSide: Sendable, Equatable {
  public enum Kind: String, Sendable {
    /// A `.grist` file.
    case file
    case checkpoint
    /// Answers that were kept, without the weights that gave them.
    case record
  }

  public let path: String
  public let kind: Kind
  /// Bytes of the file, or of a checkpoint's tensors; nil of a record.
  public let byteCount: Int?
  /// The recipe of a `.grist` file.
  public let recipe: String?
  /// Of the weights that it was made from, as `Formats/grist-v1.md` defines it; nil where nobody computed it.
  public let fingerprint: String?

  public init(
    path: String, kind: Kind = .file, byteCount: Int? = nil, recipe: String? = nil, fingerprint: String? = nil
  ) {
    self.path = path
    self.kind = kind
    self.byteCount = byteCount
    self.recipe = recipe
    self.fingerprint = fingerprint
  }

  /// - Parameter fingerprint: the source's, where it is known: a checkpoint's would have to be computed.
  package init(_ source: Source, fingerprint: String?) {
    switch source.storage {
    case .grist(let file):
      self.init(
        path: source.path, kind: .file, byteCount: file.byteCount, recipe: file.manifest.provenance.recipe,
        fingerprint: file.manifest.provenance.fingerprint)
    case .checkpoint(let checkpoint):
      self.init(
        path: source.path, kind: .checkpoint, byteCount: checkpoint.tensors.reduce(0) { $0 + $1.byteCount },
        fingerprint: fingerprint)
    }
  }

  /// What two runs of a model do not share whose answers to the same questions may differ, for a folder that keeps them.
  ///
  /// - Parameters:
  ///   - alignment: digest of a router that was trained anew; nil where there is none.
  ///   - arithmetic: the kernels that compute, and how activations are kept.
  package func answerKey(alignment: String?, arithmetic: String) -> JSONObject {
    var key: JSONObject = [
      "fingerprint": fingerprint.map { JSONValue($0) } ?? .null, "bytes": byteCount.map { JSONValue($0) } ?? .null,
      "recipe": recipe.map { JSONValue($0) } ?? .null, "arithmetic": JSONValue(arithmetic),
    ]
    if let alignment { key["alignment"] = JSONValue(alignment) }
    return key
  }

  /// - Parameter record: what the reference answered.
  init(_ record: ReferenceRecord) {
    self.init(path: record.source, kind: .record, fingerprint: record.fingerprint)
  }

  /// For people: "a file of 4.1 GB, recipe int4".
  public var summary: String {
    let size = byteCount.map { " of " + NumberText.bytes($0) } ?? ""
    switch kind {
    case .file: return "a file\(size)" + (recipe.map { ", recipe \($0)" } ?? "")
    case .checkpoint: return "a checkpoint\(size)"
    case .record: return "a record of its answers"
    }
  }
}
