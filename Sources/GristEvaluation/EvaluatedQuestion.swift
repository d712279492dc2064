import GristCore

/// How finely pictures are cut while a question is answered.
public enum EvaluatedGranularity: Sendable, Hashable {
  /// As the router chooses.
  case auto
  /// So many tokens a tile.
  case fixed(Int)

  /// `auto`, or the number.
  public var name: String { if case .fixed(let tokens) = self { "\(tokens)" } else { "auto" } }

  public init?(name: String) {
    if name == "auto" {
      self = .auto
    } else if let tokens = Int(name), tokens > 0 {
      self = .fixed(tokens)
    } else {
      return nil
    }
  }
}

/// What a model made of a question at each granularity that was asked for.
public struct EvaluatedQuestion: Sendable, Equatable {
  /// An answer at one granularity.
  public struct Answer: Sendable, Equatable {
    public let text: String
    public let tokens: [Int]
    /// Rows of the prompt that show the picture.
    public let visualTokens: Int
    /// Seconds for the prompt and the answer.
    public let seconds: Double
  }

  /// Place among the questions.
  public let index: Int
  /// What the router chose; nil where it was not asked.
  public let choice: Int?
  public let margin: Double?
  /// Seconds that looking at the picture took, which several questions about it share, and the router.
  public let pictureSeconds: Double
  public let routerSeconds: Double
  /// By granularity, tokens a tile; a question without a picture has one answer, by 0.
  public let answers: [Int: Answer]

  /// The answer at a granularity; a question without a picture has the same at each.
  public func answer(_ granularity: EvaluatedGranularity) -> Answer? {
    if let only = answers[0] { return only }
    return switch granularity {
    case .auto: choice.flatMap { answers[$0] } ?? (answers.count == 1 ? answers.first?.value : nil)
    case .fixed(let tokens): answers[tokens]
    }
  }

  /// Seconds that somebody waits who asks this question alone.
  public func seconds(_ granularity: EvaluatedGranularity) -> Double? {
    answer(granularity).map { $0.seconds + pictureSeconds + (granularity == .auto ? routerSeconds : 0) }
  }
}

// A question a line in the folder of an evaluation that is under way.

extension EvaluatedQuestion {
  var json: JSONValue {
    var given = JSONObject()
    for (granularity, answer) in answers.sorted(by: { $0.key < $1.key }) {
      given["\(granularity)"] = [
        "text": JSONValue(answer.text), "tokens": JSONValue(answer.tokens),
        "visual_tokens": JSONValue(answer.visualTokens), "seconds": JSONValue(answer.seconds),
      ]
    }
    return [
      "index": JSONValue(index), "choice": choice.map { JSONValue($0) } ?? .null,
      "margin": margin.map { JSONValue($0) } ?? .null, "picture_s": JSONValue(pictureSeconds),
      "router_s": JSONValue(routerSeconds), "answers": .object(given),
    ]
  }

  init(_ json: JSONReader, questions: Int) throws {
    let given = try json.object("answers")
    var answers: [Int: Answer] = [:]
    for name in given.object.names {
      guard let granularity = Int(name) else { throw json.failure("answers", "granularities") }
      let answer = try given.object(name)
      answers[granularity] = Answer(
        text: try answer.string("text"), tokens: try answer.integers("tokens", in: 0...Int(Int32.max)),
        visualTokens: try answer.integer("visual_tokens", in: 0...Int(Int32.max)), seconds: try answer.double("seconds")
      )
    }
    self.init(
      index: try json.integer("index", in: 0...max(questions - 1, 0)),
      choice: json.has("choice") ? try json.integer("choice", in: 0...Int(Int32.max)) : nil,
      margin: json.has("margin") ? try json.double("margin") : nil, pictureSeconds: try json.double("picture_s"),
      routerSeconds: try json.double("router_s"), answers: answers)
  }
}
