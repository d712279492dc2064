import GristCore

/// Whether the model was verified on this machine, when, and by which record.
public enum Verified: Sendable, Equatable {
  case no
  /// Under way.
  case running
  case yes(date: String, record: String)
  case failed(date: String, record: String, reason: String)

  var json: JSONValue {
    switch self {
    case .no: ["state": "not verified"]
    case .running: ["state": "running"]
    case .yes(let date, let record):
      ["state": "verified", "date": JSONValue(date), "record": JSONValue(record)]
    case .failed(let date, let record, let reason):
      ["state": "failed", "date": JSONValue(date), "record": JSONValue(record), "reason": JSONValue(reason)]
    }
  }
}
