import GristCore
import GristFormat
import GristModel
import GristSources

/// What a model is verified against: another model, or a record of what it answered.
public enum Reference: Sendable {
  case model(Source)
  case record(ReferenceRecord)

  /// Opens what the user named.
  ///
  /// - Parameters:
  ///   - path: a record, a checkpoint folder or a `.grist` file; nil for the record inside the model's own file.
  ///   - model: what is to be held to the reference.
  ///   - asksQuestions: whether questions of the user's own are asked, which needs a reference that can answer.
  ///   - options: how a checkpoint folder is read.
  ///   - allowsLoss: takes a reference whose own weights are not upstream's any more; every report then says so.
  ///
  /// - Throws: 64 when questions are asked of a record, which has its own, or there is no record inside; 65 when a
  ///   record was made from other weights than the model, or the reference has lost something itself.
  public static func open(
    _ path: String?, model: Source, asksQuestions: Bool, options: SourceOptions = SourceOptions(),
    allowsLoss: Bool = false
  ) throws -> Reference {
    let reference = try find(path, model: model, asksQuestions: asksQuestions, options: options)
    if !allowsLoss, !reference.isOwn(of: model) { try refuseLoss(reference.loss, of: path ?? model.path) }
    return reference
  }

  /// Whether it tells the choices of a router that was trained for the model, which no other reference can.
  private func isOwn(of model: Source) -> Bool {
    guard case .record(let record) = self, let alignment = record.alignment else { return false }
    return alignment == model.alignment?.digest
  }

  /// What the reference's weights had lost since upstream; nil for upstream's own.
  public var loss: String? {
    switch self {
    case .model(let source): source.loss
    case .record(let record): record.loss
    }
  }

  /// - Throws: 65 when `loss` tells of something.
  public static func refuseLoss(_ loss: String?, of path: String) throws {
    guard let loss else { return }
    throw GristError(
      .badData, "a reference that has lost something itself proves nothing: \(loss)", file: path,
      advice: "take the upstream checkpoint, or pass --allow-lossy-reference and have every report say so")
  }

  private static func find(
    _ path: String?, model: Source, asksQuestions: Bool, options: SourceOptions
  ) throws -> Reference {
    guard let path else { return try embedded(in: model, asksQuestions: asksQuestions) }
    if fileKind(at: path) == .file, !isGrist(path), !Checkpoint.isThere(at: path) || ReferenceRecord.isThere(at: path) {
      guard !asksQuestions else {
        throw GristError(
          .usage, "a record has its own questions", file: path, advice: "leave out --probes, --image and --prompt")
      }
      return .record(try matching(try ReferenceRecord(path: path), path: path, model: model))
    }
    guard asksQuestions else {
      throw GristError(
        .usage, "a checkpoint as reference must be asked something", file: path,
        advice: "give --probes, or --prompt with or without --image")
    }
    return .model(try Source.open(path: path, options: options.completed(by: model)))
  }

  private static func isGrist(_ path: String) -> Bool {
    (try? MappedFile(path: path).bytes.slice(0, 5)?.utf8) == "GRIST"
  }

  private static func embedded(in model: Source, asksQuestions: Bool) throws -> Reference {
    guard let file = model.file, let bytes = try file.sideFile(named: ReferenceRecord.embeddedName) else {
      throw GristError(
        .usage, "there is nothing to verify against: the model has no record inside", file: model.path,
        advice: model.file?.hasUnfinishedAddition == true
          ? "one was begun to be put inside, and not finished: run `gristmill record --into` again"
          : "give --reference, or put a record inside with `gristmill record --into`")
    }
    guard !asksQuestions else {
      throw GristError(
        .usage, "the record inside the file has its own questions", file: model.path,
        advice: "give a --reference checkpoint to ask others")
    }
    let place = model.path + ", " + ReferenceRecord.embeddedName
    return .record(try matching(ReferenceRecord(bytes, path: place), path: place, model: model))
  }

  private static func matching(
    _ record: ReferenceRecord, path: String, model: Source
  ) throws -> ReferenceRecord {
    let fingerprint = try model.fingerprint()
    guard record.fingerprint == fingerprint else {
      throw GristError(
        .badData, "the record was made from other weights than the model", file: path,
        found:
          "fingerprint \(record.fingerprint.prefix(16))… of \(record.source) instead of \(fingerprint.prefix(16))…",
        advice: "record the checkpoint that the model was converted from")
    }
    return record
  }
}
