import GristCore
import GristModel
internal import RealModule

/// A token of an answer, and how likely it was.
public struct TokenLogprob: Sendable, Equatable {
  public struct Alternative: Sendable, Equatable {
    public let text: String
    public let logprob: Double
  }

  public let text: String
  public let logprob: Double
  /// The most likely ones, the likeliest first.
  public let top: [Alternative]
}

/// One answer in the making, a token at a time.
final class Answering {
  /// What a step gave.
  struct Step {
    /// Text that is certain.
    var text = ""
    var logprob: TokenLogprob?
    /// The token to go on with; nil at the end.
    var next: Int?
  }

  let session: DecodingSession
  private let model: VisionLanguageModel
  private let limit: Int
  private let topLogprobs: Int?
  private var sampler: Sampler
  private var decoder: StreamingDecoder
  private var stops: StopText
  private var last: Int?
  private(set) var tokens: [Int] = []
  /// Why it ended, in OpenAI's words; nil while it goes on.
  private(set) var finish: String?

  init(
    _ model: VisionLanguageModel, _ session: DecodingSession, sampler: Sampler, stops: [String] = [],
    topLogprobs: Int? = nil, limit: Int
  ) {
    (self.model, self.session, self.limit) = (model, session, limit)
    (self.sampler, self.topLogprobs) = (sampler, topLogprobs)
    self.stops = StopText(stops)
    decoder = StreamingDecoder(model.tokenizer)
  }

  /// Takes the next token from the session's logits, as `VisionLanguageModel.answer` does.
  ///
  /// - Throws: What the tokenizer throws.
  func step() throws -> Step {
    guard finish == nil, tokens.count < limit else { return try end("length") }
    let token = sampler.next(session.logits)
    if model.endTokens.contains(token) { return try end("stop") }
    tokens.append(token)
    var step = Step()
    if let topLogprobs { step.logprob = try logprob(of: token, session.logits, top: topLogprobs) }
    step.text = stops.append(try decoder.append(token))
    last = token
    if stops.isFound {
      finish = "stop"
    } else if tokens.count == limit || !session.hasRoom {
      let rest = try end("length")
      step.text += rest.text
    } else {
      step.next = token
    }
    return step
  }

  private func end(_ reason: String) throws -> Step {
    finish = reason
    var step = Step()
    step.text = stops.append(try decoder.finish()) + stops.finish()
    if stops.isFound { finish = "stop" }
    return step
  }

  private func logprob(of token: Int, _ logits: [Float], top: Int) throws -> TokenLogprob {
    let greatest = Double(logits.max() ?? 0)
    let sum = logits.reduce(0.0) { $0 + Double.exp(Double($1) - greatest) }
    let normalizer = greatest + Double.log(sum)
    let likeliest = logits.indices.sorted { (logits[$1], $0) < (logits[$0], $1) }.prefix(top)
    return TokenLogprob(
      text: try text(of: token), logprob: Double(logits[token]) - normalizer,
      top: try likeliest.map { .init(text: try text(of: $0), logprob: Double(logits[$0]) - normalizer) })
  }

  /// A token as it stands behind the one before: alone it might lose its blank.
  private func text(of token: Int) throws -> String {
    guard let last else { return try model.tokenizer.decode([token]) }
    let (before, both) = try (model.tokenizer.decode([last]), model.tokenizer.decode([last, token]))
    return both.utf8.starts(with: before.utf8)
      ? String(decoding: both.utf8.dropFirst(before.utf8.count), as: UTF8.self) : try model.tokenizer.decode([token])
  }
}
