import GristCore
import GristFormat
import GristSources

/// One of two things to be compared: a model's weights, or a record of answers.
public enum Comparand: Sendable {
  case model(Source)
  case record(ReferenceRecord)

  /// Opens what is at a path.
  ///
  /// - Throws: What opening a record or a source throws.
  public static func open(path: String, options: SourceOptions = SourceOptions()) throws -> Comparand {
    ReferenceRecord.isThere(at: path)
      ? .record(try ReferenceRecord(path: path)) : .model(try Source.open(path: path, options: options))
  }
}
