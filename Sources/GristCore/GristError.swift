/// What went wrong, where, what was found there and what to do about it.
///
/// Prints as one sentence for a person, names from files made visible; `code` decides the exit status of the command.
public struct GristError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The kind of failure, after BSD's `sysexits.h`.
  public enum Code: Int32, Sendable {
    /// A verification failed or a difference was found: the inputs were fine, the answer is no.
    case disagreement = 1
    /// The request itself makes no sense.
    case usage = 64
    /// The input was read and is bad: damaged, inconsistent, or something this version does not know.
    case badData = 65
    /// An input that was named is not there.
    case missingInput = 66
    /// The system refused memory or threads.
    case outOfMemory = 71
    /// Reading or writing failed below us.
    case inputOutput = 74
    /// The user interrupted the work.
    case interrupted = 130
  }

  /// What a caller may want to know beyond the code.
  public enum Reason: Sendable {
    /// A model computed NaN or an infinity.
    case valueNotFinite
  }

  public var code: Code
  public var reason: Reason?
  /// What failed, without a full stop: "the header ends beyond the file".
  public var what: String
  public var file: String?
  public var tensor: String?
  /// Byte offset in `file`.
  public var offset: UInt64?
  /// The value found, as it should be shown.
  public var found: String?
  /// What the reader can do about it, without a full stop.
  public var advice: String?

  public init(
    _ code: Code, _ what: String, file: String? = nil, tensor: String? = nil, offset: UInt64? = nil,
    found: String? = nil, advice: String? = nil
  ) {
    self.code = code
    self.what = what
    self.file = file
    self.tensor = tensor
    self.offset = offset
    self.found = found
    self.advice = advice
  }

  public var description: String {
    var places: [String] = []
    if let tensor { places.append("tensor \(tensor.shortened().visible())") }
    if let offset { places.append("byte \(offset)") }
    var text = file.map { "\($0.visible()): " } ?? ""
    text += what.shortened(to: 1000).visible()
    if !places.isEmpty { text += " (" + places.joined(separator: ", ") + ")" }
    if let found { text += ": found \(found.shortened().visible())" }
    if let advice { text += "; \(advice.shortened(to: 1000).visible())" }
    return text
  }

  /// The same error with places filled in that were not known where it was thrown.
  public func located(file: String? = nil, tensor: String? = nil, offset: UInt64? = nil) -> GristError {
    var copy = self
    copy.file = copy.file ?? file
    copy.tensor = copy.tensor ?? tensor
    copy.offset = copy.offset ?? offset
    return copy
  }
}

/// Runs `body` and fills in the places of any ``GristError`` it throws.
///
/// - Throws: What `body` throws, with its places filled in.
public func locating<Result>(
  file: String? = nil, tensor: String? = nil, offset: UInt64? = nil, _ body: () throws -> Result
) throws -> Result {
  do {
    return try body()
  } catch let error as GristError {
    throw error.located(file: file, tensor: tensor, offset: offset)
  }
}
