import GristCore

/// Whether the model was verified on this machine, when, and by which record.
public enum Verified: Sendable, Equatable {
  case no
  /// Under way.
  case running
  case yes(date: String, record: String)
  case failed(date: String, record: String, reason: String)

  /// The outcome, and the whole report as a page; nil where there is none.
  public struct Outcome: Sendable {
    public let verified: Verified
    public let page: String?

    public init(_ verified: Verified, page: String? = nil) { (self.verified, self.page) = (verified, page) }
  }

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
