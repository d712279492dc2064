import GristCore
import GristModel

/// A conversation with one model in one place: its turns and its picture are remembered.
public final class Chat {
  /// What an answer was, and what it took.
  public struct Reply: Sendable {
    public let text: String
    public let decision: RouterDecision?
    public let granularity: Granularity?
    /// Rows of the prompt, and how many of them were kept from the turns before.
    public let rows: Int
    public let keptRows: Int
    public let tokens: Int
    /// Seconds to the first token, and from there to the last.
    public let firstSeconds: Double
    public let decodeSeconds: Double
  }

  public let model: VisionLanguageModel
  /// What pictures are cut to; nil leaves it to the router.
  public var granularity: Granularity?
  private let memory: PromptMemory
  private let sampler: Sampler
  private let maxNewTokens: Int
  private var picture: (bytes: Bytes, name: String)?
  public private(set) var turns: [Conversation.Turn] = []

  /// - Parameters:
  ///   - model: answers.
  ///   - maxNewTokens: the longest answer.
  ///   - sampler: chooses tokens.
  ///   - memory: bytes that are kept of pictures and prompts.
  public init(_ model: VisionLanguageModel, maxNewTokens: Int, sampler: Sampler, memory: Int = 1 << 30) {
    (self.model, self.maxNewTokens, self.sampler) = (model, maxNewTokens, sampler)
    self.memory = PromptMemory(model, budget: memory)
  }

  public var hasPicture: Bool { picture != nil }

  /// Begins a conversation about a picture, or about none.
  ///
  /// - Throws: 64 for a model that sees none, 65 for a file that is none.
  public func restart(picture: (bytes: Bytes, name: String)? = nil) throws {
    if let picture { _ = try memory.features(of: picture.bytes, name: picture.name) }
    self.picture = picture
    turns = []
  }

  /// Asks; the answer belongs to the conversation once it is whole.
  ///
  /// - Throws: 64 when there is no room for the conversation any more, 130 when the user interrupts, and what running
  ///   the model throws.
  public func ask(_ message: String, onText: (String) throws -> Void) throws -> Reply {
    let clock = ContinuousClock()
    let began = clock.now
    let conversation = try Conversation(history: turns, message: message, hasImage: picture != nil)
    let features = try picture.map { try memory.features(of: $0.bytes, name: $0.name).features }
    let prompt = try model.prepare(conversation, image: features, granularity: features == nil ? nil : granularity)
    let (session, kept) = try memory.start(prompt, newTokens: maxNewTokens)
    defer { memory.finish(session) }
    let read = clock.now
    let answer = Answering(model, session, sampler: sampler, limit: maxNewTokens)
    var text = ""
    while true {
      try Interruption.check()
      let step = try answer.step()
      text += step.text
      try onText(step.text)
      guard let next = step.next else { break }
      try session.advance(next)
    }
    turns.append(Conversation.Turn(user: message, assistant: text))
    return Reply(
      text: text, decision: prompt.decision, granularity: prompt.granularity, rows: prompt.sequenceLength,
      keptRows: kept, tokens: answer.tokens.count, firstSeconds: (read - began).seconds,
      decodeSeconds: (clock.now - read).seconds)
  }
}
