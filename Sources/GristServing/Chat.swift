import GristCore
import GristModel
import GristSources

/// A conversation with one model in one place: its turns and its pictures are remembered.
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
  private var pictures: [Question.Picture] = []
  /// Pictures that come with the next message.
  private var shown = 0
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

  /// Whether a picture may come while a conversation goes on.
  public var takesSeveralPictures: Bool { model.configuration.vision?.takesSeveralPictures == true }

  /// Begins a conversation.
  public func restart() { (pictures, shown, turns) = ([], 0, []) }

  /// Shows a picture, which comes with the next message. Where the model takes no more than one, at the beginning, that
  /// begins a conversation.
  ///
  /// - Throws: 64 for a model that sees none, 65 for a file that is none.
  public func show(_ picture: Question.Picture) throws {
    _ = try memory.features(of: picture.bytes, name: picture.name)
    if !takesSeveralPictures { restart() }
    pictures.append(picture)
    shown += 1
  }

  /// Asks; the answer belongs to the conversation once it is whole.
  ///
  /// - Throws: 64 when there is no room for the conversation any more, 130 when the user interrupts, and what running
  ///   the model throws.
  public func ask(_ message: String, onText: (String) throws -> Void) throws -> Reply {
    let clock = ContinuousClock()
    let began = clock.now
    let asked = Conversation.Message(message, pictures: shown)
    let conversation = try Conversation(history: turns, message: asked, clock: .now)
    let features = try pictures.map { try memory.features(of: $0.bytes, name: $0.name).features }
    let prompt = try model.prepare(
      conversation, images: features, granularity: features.isEmpty ? nil : granularity)
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
    turns.append(Conversation.Turn(user: asked, assistant: text))
    shown = 0
    return Reply(
      text: text, decision: prompt.decision, granularity: prompt.granularity, rows: prompt.sequenceLength,
      keptRows: kept, tokens: answer.tokens.count, firstSeconds: (read - began).seconds,
      decodeSeconds: (clock.now - read).seconds)
  }
}
