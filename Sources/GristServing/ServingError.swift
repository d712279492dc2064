import GristCore

/// Why a request is not answered, in the form that clients of OpenAI's interface read.
public struct ServingError: Error, Sendable, Equatable {
  /// The HTTP status.
  public let status: Int
  /// A sentence for people.
  public let message: String
  /// The member of the request that is at fault.
  public let parameter: String?
  public let code: String?

  public init(_ status: Int, _ message: String, parameter: String? = nil, code: String? = nil) {
    (self.status, self.message, self.parameter, self.code) = (status, message, parameter, code)
  }

  /// What the request asks is not done here.
  static func unsupported(_ parameter: String, _ message: String) -> ServingError {
    ServingError(400, message, parameter: parameter, code: "unsupported_parameter")
  }

  static func invalid(_ parameter: String, _ message: String) -> ServingError {
    ServingError(400, message, parameter: parameter, code: "invalid_value")
  }

  /// What went wrong while answering: 400 for what the request caused, 500 for what it did not.
  public init(_ error: any Error) {
    if let error = error as? ServingError {
      self = error
    } else if let error = error as? GristError {
      // Paths of the host are nobody's business.
      let said = [error.what, error.found, error.advice].compactMap { $0 }.joined(separator: "; ")
      let isTheirs = error.code == .usage
      self.init(isTheirs ? 400 : 500, said, code: isTheirs ? "invalid_request" : "internal_error")
    } else {
      self.init(500, "the answer failed", code: "internal_error")
    }
  }

  /// OpenAI's kind of it.
  var type: String {
    switch status {
    case 401: "authentication_error"
    case 429: "rate_limit_error"
    case 500...: "server_error"
    default: "invalid_request_error"
    }
  }

  public var json: JSONValue {
    [
      "error": [
        "message": JSONValue(message), "type": JSONValue(type), "param": parameter.map { JSONValue($0) } ?? .null,
        "code": code.map { JSONValue($0) } ?? .null,
      ]
    ]
  }
}
