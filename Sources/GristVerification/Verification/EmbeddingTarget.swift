import GristCore
import GristFormat
import GristSources

/// A `.grist` file that a record is put into, in place.
public struct EmbeddingTarget {
  private let addition: Addition

  /// - Throws: 65 when the file was made from other weights than `fingerprint` names, 74 when it cannot be written.
  public init(path: String, fingerprint: String) throws {
    let file = try GristFile(path: path)
    guard file.manifest.provenance.fingerprint == fingerprint else {
      throw GristError(
        .badData, "the file was made from other weights than the reference", file: path,
        found: "fingerprint \(file.manifest.provenance.fingerprint.prefix(16))…")
    }
    addition = try Addition(to: file)
  }

  /// Puts a record into the file, in place of any it had.
  ///
  /// - Throws: 74 when writing fails or the file is another one by now, 130 when the user interrupts; the file is as it
  ///   was then.
  public func embed(_ record: Bytes) throws {
    try addition.finish(
      adding: ReferenceRecord.embeddedName, record, sha256: sha256(record), segment: "records")
  }
}
