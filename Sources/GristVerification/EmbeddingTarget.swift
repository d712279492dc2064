import GristCheckpoints
import GristCore
import GristFormat

/// A `.grist` file that a record is put into. The file is written anew and replaced in one step.
public struct EmbeddingTarget {
  private let file: GristFile

  /// - Throws: 65 when the file was made from other weights than `fingerprint` names.
  public init(path: String, fingerprint: String) throws {
    file = try GristFile(path: path)
    guard file.manifest.provenance.fingerprint == fingerprint else {
      throw GristError(
        .badData, "the file was made from other weights than the reference", file: path,
        found: "fingerprint \(file.manifest.provenance.fingerprint.prefix(16))…")
    }
  }

  /// Replaces the file by a copy that holds the record, in place of any it had.
  ///
  /// - Throws: 65 when the file is damaged, 74 when writing fails, 130 when the user interrupts.
  public func embed(_ record: Bytes) throws {
    try file.rewrite(
      replacing: ReferenceRecord.embeddedName, with: record, sha256: Checkpoint.sha256(record))
  }
}
