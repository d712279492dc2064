import Foundation
import GristCore
import GristModel
import GristSources

/// A request for a chat completion, in OpenAI's form. What it asks and is not done here is refused by name.
public struct ChatRequest: Sendable {
  public let conversation: Conversation
  /// In the conversation's order.
  public private(set) var pictures: [ChatPicture]
  public let granularity: Granularity?
  /// The longest answer in tokens; nil leaves it to the server.
  public let maxTokens: Int?
  public let sampler: Sampler
  /// Texts that end an answer, which are not part of it.
  public let stops: [String]
  /// Alternatives of each token whose logarithmic probabilities are wanted; nil where none are wanted at all.
  public let topLogprobs: Int?
  public let streams: Bool
  /// Whether a stream's last piece tells the usage.
  public let includesUsage: Bool

  /// The most texts that may end an answer, and their length in bytes.
  static let stopLimit = (count: 4, bytes: 256)
  static let topLogprobsLimit = 20

  /// - Parameters:
  ///   - body: the request's JSON document.
  ///   - allowsRemotePictures: whether it may name pictures that are to be fetched.
  ///
  /// - Throws: 400 with the member's name.
  public init(body: Bytes, allowsRemotePictures: Bool = false) throws(ServingError) {
    let document: JSONValue
    do { document = try JSONValue.parse(body) } catch {
      throw ServingError(400, "the body is no JSON document", code: "invalid_json")
    }
    guard let object = document.object else {
      throw ServingError(400, "the body is no JSON object", code: "invalid_json")
    }
    try self.init(RequestMembers(object), allowsRemotePictures: allowsRemotePictures)
  }

  /// Gives a picture that was fetched.
  public mutating func supply(_ bytes: Bytes, forPicture index: Int) { pictures[index].bytes = bytes }

  private init(_ members: RequestMembers, allowsRemotePictures: Bool) throws(ServingError) {
    try members.refuseUnknown()
    let list: MessageList
    do { list = try MessageList(members.value("messages")) } catch {
      throw error.isUnsupported ? .unsupported(error.place, error.sentence) : .invalid(error.place, error.sentence)
    }
    do {
      conversation = try Conversation(
        system: list.system, history: list.history, message: list.message, clock: .now)
    } catch {
      throw .invalid("messages", "a message spells out \(Conversation.imagePlaceholder), which stands for a picture")
    }
    var pictures: [ChatPicture] = []
    for picture in list.pictures {
      pictures.append(try ChatPicture(picture, allowsRemote: allowsRemotePictures))
    }
    self.pictures = pictures
    let (newLimit, oldLimit) = try (
      members.integer("max_completion_tokens", 1...), members.integer("max_tokens", 1...)
    )
    maxTokens = newLimit ?? oldLimit
    streams = try members.bool("stream") ?? false
    let streamOptions = try members.options("stream_options", ["include_usage"])
    includesUsage = try streamOptions?.bool("include_usage") ?? false
    stops = try Self.stops(members.value("stop"))
    let temperature = try members.number("temperature", 0...2) ?? 0
    let topP = try members.number("top_p", 0...1) ?? 1
    let seed = try members.integer("seed", Int.min...) ?? 0
    do {
      sampler = try Sampler(
        temperature: Float(temperature), topP: topP > 0 ? Float(topP) : Float.leastNormalMagnitude,
        seed: UInt64(bitPattern: Int64(seed)))
    } catch { throw .invalid("temperature", "temperature or top_p is out of range") }
    let wantsLogprobs = try members.bool("logprobs") ?? false
    let top = try members.integer("top_logprobs", 0...Self.topLogprobsLimit)
    if top != nil, !wantsLogprobs { throw .invalid("top_logprobs", "top_logprobs goes with logprobs: true") }
    topLogprobs = wantsLogprobs ? top ?? 0 : nil
    let tokens = try members.integer("granularity", 1...)
    granularity = tokens.map { Granularity.uniform($0) }
    if granularity != nil, pictures.isEmpty { throw .invalid("granularity", "granularity goes with a picture") }
  }

  private static func stops(_ value: JSONValue?) throws(ServingError) -> [String] {
    guard let value, !value.isNull else { return [] }
    let texts = value.string.map { [JSONValue($0)] } ?? value.array
    guard let texts, texts.count <= stopLimit.count else {
      throw .invalid("stop", "stop must be a text, or up to \(stopLimit.count) of them")
    }
    var stops: [String] = []
    for text in texts {
      guard let text = text.string, !text.isEmpty, text.utf8.count <= stopLimit.bytes else {
        throw .invalid("stop", "a stop must be a text of 1 to \(stopLimit.bytes) bytes")
      }
      stops.append(text)
    }
    return stops
  }
}

/// Members of a request, read by name and kind.
struct RequestMembers {
  let object: JSONObject

  init(_ object: JSONObject) { self.object = object }

  /// What is understood.
  private static let known: Set<String> = [
    "model", "messages", "max_tokens", "max_completion_tokens", "stream", "stream_options", "stop", "temperature",
    "top_p", "seed", "logprobs", "top_logprobs", "granularity", "user", "metadata", "store",
  ]
  /// What changes nothing where it has these values: clients send them without being asked.
  private static let neutral: [String: [JSONValue]] = [
    "n": [1], "presence_penalty": [0, 0.0], "frequency_penalty": [0, 0.0], "logit_bias": [[:]], "tools": [[]],
    "response_format": [["type": "text"]], "parallel_tool_calls": [true, false], "tool_choice": ["none", "auto"],
    "modalities": [["text"]], "service_tier": ["auto", "default"],
  ]

  func refuseUnknown() throws(ServingError) {
    for (name, value) in object.members where !Self.known.contains(name) && !value.isNull {
      if let neutral = Self.neutral[name] {
        if neutral.contains(value) { continue }
        throw .unsupported(name, "\(name) is not done here, but for the value that changes nothing")
      }
      throw .unsupported(name, "\(name) is not done here")
    }
  }

  func value(_ name: String) -> JSONValue? { object[name] }

  private func present(_ name: String) -> JSONValue? { object[name].flatMap { $0.isNull ? nil : $0 } }

  func bool(_ name: String) throws(ServingError) -> Bool? {
    guard let value = present(name) else { return nil }
    guard let bool = value.bool else { throw .invalid(name, "\(name) must be true or false, not \(value.kind)") }
    return bool
  }

  func integer(_ name: String, _ range: some RangeExpression<Int>) throws(ServingError) -> Int? {
    guard let value = present(name) else { return nil }
    guard let integer = value.integer, range.contains(integer) else {
      throw .invalid(name, "\(name) must be a whole number within its range")
    }
    return integer
  }

  func number(_ name: String, _ range: ClosedRange<Double>) throws(ServingError) -> Double? {
    guard let value = present(name) else { return nil }
    guard let number = value.double, range.contains(number) else {
      throw .invalid(name, "\(name) must be a number from \(Int(range.lowerBound)) to \(Int(range.upperBound))")
    }
    return number
  }

  /// An object whose members are `names`.
  func options(_ name: String, _ names: Set<String>) throws(ServingError) -> RequestMembers? {
    guard let value = present(name) else { return nil }
    guard let object = value.object else { throw .invalid(name, "\(name) must be an object, not \(value.kind)") }
    for other in object.names where !names.contains(other) {
      throw .unsupported("\(name).\(other)", "\(name).\(other) is not done here")
    }
    return RequestMembers(object)
  }
}
