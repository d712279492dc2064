import GristCore
import GristFormat
import GristSources

/// A `.grist` file that a record is put into. The file is written anew and replaced in one step.
public struct EmbeddingTarget {
  private let file: GristFile
  private let output: AtomicFile

  /// - Throws: 65 when the file was made from other weights than `fingerprint` names, 74 when it cannot be replaced.
  public init(path: String, fingerprint: String) throws {
    file = try GristFile(path: path)
    guard file.manifest.provenance.fingerprint == fingerprint else {
      throw GristError(
        .badData, "the file was made from other weights than the reference", file: path,
        found: "fingerprint \(file.manifest.provenance.fingerprint.prefix(16))…")
    }
    output = try file.replacement()
  }

  /// Replaces the file by a copy that holds the record, in place of any it had.
  ///
  /// - Throws: 65 when the file is damaged, 74 when writing fails or the file is another one by now, 130 when the user
  ///   interrupts.
  public func embed(_ record: Bytes) throws {
    try file.rewrite(
      replacing: ReferenceRecord.embeddedName, with: record, sha256: sha256(record), to: output)
  }
}
