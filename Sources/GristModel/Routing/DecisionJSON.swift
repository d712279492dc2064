import GristCore

extension RouterDecision {
  /// Choice by choice, as `Formats/record.md` has it.
  public var json: JSONValue {
    var reasons = JSONObject()
    for reason in self.reasons { reasons[reason.name] = reason.value.json }
    return ["choices": .array(choices.map(\.json)), "reasons": .object(reasons)]
  }

  /// For people and their scripts: AVG-LLaVA's decision as what it is made of, another one as ``json``.
  public var summary: JSONValue {
    guard let choice = wholePicture, let filterOrder, reasons.count == 1 else { return json }
    return [
      "granularities": JSONValue(choice.options), "logits": JSONValue(choice.scores),
      "choice": JSONValue(choice.tokens), "filter": JSONValue(filterOrder),
    ]
  }

  /// Reads ``json``.
  ///
  /// - Throws: 65 when it makes no whole decision.
  public init(_ json: JSONReader) throws {
    let choices = try json.objects("choices").map { try RouterChoice($0) }
    guard Self.isWhole(choices.map(\.place)) else {
      throw json.failure("choices", "one about the picture, or one for each tile in their order")
    }
    let reasons = try json.object("reasons")
    let names = json.value("reasons")?.object?.names ?? []
    self.init(choices, reasons: try names.map { Reason($0, try Reason.Value(reasons, $0)) })
  }
}

extension RouterChoice {
  fileprivate var json: JSONValue {
    let place: JSONValue =
      switch self.place {
      case .picture: "picture"
      case .tile(let index): ["tile": JSONValue(index)]
      }
    return [
      "where": place, "options": JSONValue(options), "scores": JSONValue(scores), "chosen": JSONValue(tokens),
      "margin": JSONValue(margin),
    ]
  }

  fileprivate init(_ json: JSONReader) throws {
    let place: Place =
      json.value("where")?.string == "picture"
      ? .picture : .tile(try json.object("where").integer("tile", in: 0...65_535))
    let options = try json.integers("options", in: 1...Int(Int32.max))
    let scores = try json.array("scores").compactMap(\.double).map { Float($0) }
    guard !options.isEmpty, scores.count == options.count else { throw json.failure("scores", "one number an option") }
    let chosen = try json.integer("chosen", in: 1...Int(Int32.max))
    guard let index = options.firstIndex(of: chosen) else { throw json.failure("chosen", "one of the options") }
    // Written as null where it is infinite: there was nothing else to choose.
    let margin = json.has("margin") ? Float(try json.double("margin")) : .infinity
    self.init(place, options: options, scores: scores, index: index, margin: margin)
  }
}

extension RouterDecision.Reason.Value {
  fileprivate var json: JSONValue {
    switch self {
    case .ranking(let order): JSONValue(order)
    case .number(let number): JSONValue(number)
    }
  }

  fileprivate init(_ json: JSONReader, _ name: String) throws {
    self =
      json.value(name)?.array != nil
      ? .ranking(try json.integers(name, in: 0...Int(Int32.max))) : .number(Float(try json.double(name)))
  }
}

extension Granularity {
  /// A number, or a list of one a tile.
  public var json: JSONValue {
    switch self {
    case .uniform(let tokens): JSONValue(tokens)
    case .perTile(let tokens): JSONValue(tokens)
    }
  }
}

extension JSONReader {
  /// Reads ``Granularity/json``.
  ///
  /// - Throws: 65 when it is neither a number nor a list of some.
  public func granularity(_ name: String) throws -> Granularity {
    guard value(name)?.array != nil else { return .uniform(try integer(name, in: 1...Int(Int32.max))) }
    return .perTile(try integers(name, in: 1...Int(Int32.max)))
  }
}
