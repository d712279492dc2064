import GristCore
import GristModel

/// An answer in OpenAI's forms: whole, or in pieces.
public struct ChatCompletion: Sendable {
  private let id: String
  private let created: Int
  private let model: String
  private let request: ChatRequest
  private var beginning: AnswerBeginning?
  private var text = ""
  private var logprobs: [TokenLogprob] = []

  /// - Parameters:
  ///   - id: of the answer.
  ///   - created: seconds since 1970.
  ///   - model: its name, as clients are told.
  ///   - request: what is answered.
  public init(id: String, created: Int, model: String, for request: ChatRequest) {
    (self.id, self.created, self.model, self.request) = (id, created, model, request)
  }

  /// Takes what the answer tells, in order. Gives the documents that a stream sends for it.
  public mutating func pieces(for event: AnswerEvent) -> [JSONValue] {
    switch event {
    case .began(let beginning):
      self.beginning = beginning
      return [chunk(["role": "assistant", "content": ""], extra: beginning.json)]
    case .piece(let text, let logprob):
      self.text += text
      if let logprob { logprobs.append(logprob) }
      return [chunk(["content": JSONValue(text)], logprobs: logprob.map { [$0] })]
    case .ended(let ending):
      var pieces = [chunk([:], finish: ending.reason, extra: ending.json)]
      if request.includesUsage { pieces.append(document("chat.completion.chunk", [], usage(ending))) }
      return pieces
    }
  }

  /// The whole answer, once it ended.
  public func whole(_ ending: AnswerEnding) -> JSONValue {
    let choice: JSONValue = [
      "index": 0, "message": ["role": "assistant", "content": JSONValue(text), "refusal": nil],
      "logprobs": request.topLogprobs == nil ? .null : Self.json(logprobs), "finish_reason": JSONValue(ending.reason),
    ]
    return document("chat.completion", [choice], usage(ending), extra: merged(beginning?.json, ending.json))
  }

  private func chunk(
    _ delta: JSONValue, logprobs: [TokenLogprob]? = nil, finish: String? = nil, extra: JSONValue? = nil
  ) -> JSONValue {
    let choice: JSONValue = [
      "index": 0, "delta": delta, "logprobs": logprobs.map(Self.json) ?? .null,
      "finish_reason": finish.map { JSONValue($0) } ?? .null,
    ]
    return document("chat.completion.chunk", [choice], request.includesUsage ? .null : nil, extra: extra)
  }

  private func document(
    _ object: String, _ choices: [JSONValue], _ usage: JSONValue?, extra: JSONValue? = nil
  ) -> JSONValue {
    var document: JSONObject = [
      "id": JSONValue(id), "object": JSONValue(object), "created": JSONValue(created),
      "model": JSONValue(model), "choices": .array(choices),
    ]
    if let usage { document["usage"] = usage }
    if let extra { document["gristmill"] = extra }
    return .object(document)
  }

  private func usage(_ ending: AnswerEnding) -> JSONValue {
    let rows = beginning?.rows ?? 0
    return [
      "prompt_tokens": JSONValue(rows), "completion_tokens": JSONValue(ending.tokens.count),
      "total_tokens": JSONValue(rows + ending.tokens.count),
      "prompt_tokens_details": [
        "cached_tokens": JSONValue(beginning?.keptRows ?? 0), "image_tokens": JSONValue(beginning?.pictureRows ?? 0),
      ],
    ]
  }

  private func merged(_ a: JSONValue?, _ b: JSONValue) -> JSONValue {
    var object = a?.object ?? [:]
    for (name, value) in b.object?.members ?? [] { object[name] = value }
    return .object(object)
  }

  private static func json(_ logprobs: [TokenLogprob]) -> JSONValue {
    func members(_ text: String, _ logprob: Double) -> JSONObject {
      [
        "token": JSONValue(text), "logprob": JSONValue(logprob),
        "bytes": JSONValue(Array(text.utf8).map { Int($0) }),
      ]
    }
    let content = logprobs.map { item -> JSONValue in
      var object = members(item.text, item.logprob)
      object["top_logprobs"] = .array(item.top.map { .object(members($0.text, $0.logprob)) })
      return .object(object)
    }
    return ["content": .array(content), "refusal": nil]
  }
}

extension AnswerBeginning {
  /// What nobody else tells: the extension of each answer.
  var json: JSONValue {
    [
      "granularity": granularity.map(\.json) ?? .null, "router": decision.map { $0.summary } ?? .null,
      "margin": decision.map { JSONValue($0.margin) } ?? .null, "tiles": JSONValue(tiles), "rows": JSONValue(rows),
      "image_rows": JSONValue(pictureRows), "kept_rows": JSONValue(keptRows), "image_kept": JSONValue(pictureWasKept),
      "grid": grid.map(\.json) ?? .null, "queue_s": JSONValue(queueSeconds), "image_s": JSONValue(pictureSeconds),
      "prefill_s": JSONValue(prefillSeconds),
    ]
  }
}

extension AnswerEnding {
  var json: JSONValue { ["tokens": JSONValue(tokens), "decode_s": JSONValue(decodeSeconds)] }
}
