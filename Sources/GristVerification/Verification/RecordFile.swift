import GristCore
import GristKernels
import GristModel
import GristSources
import GristTemplates

// A record travels as a safetensors file, so that any tool can open it: the pictures and logits are tensors, the rest
// is one JSON document in the file's metadata. `Formats/record.md` describes it.

extension ReferenceRecord {
  /// The name a record has inside a `.grist` file.
  public static let embeddedName = "verification/record.safetensors"
  static let format = "gristmill-record"
  static let version = "3"
  /// What a record asks of its readers that keeps not all logits.
  private static let topLogits = "top-logits"
  /// What a record asks of its readers that has more than one message, or more than one picture, in a case.
  private static let conversations = "conversations"
  /// What a record asks of its readers whose grids were cropped by their cells' own shape.
  private static let correctedUnpadding = "corrected-unpadding"

  /// - Throws: 65 when the record is more than the format can hold.
  public func encoded() throws -> Bytes {
    var document: JSONObject = [
      "requires": JSONValue(required), "fingerprint": JSONValue(fingerprint),
      "source": JSONValue(source),
      "loss": loss.map { JSONValue($0) } ?? false,
      "asked": [
        "date": clock.map { JSONValue($0.date) } ?? .null, "template": template.map { JSONValue($0) } ?? .null,
        "sampling": "greedy",
      ],
      "vocabulary": JSONValue(cases.lazy.compactMap(\.logits.first?.count).first ?? 0),
      "cases": .array(cases.map(\.json)),
    ]
    if let alignment { document["alignment"] = JSONValue(alignment) }
    if let part {
      document["part"] = [
        "index": JSONValue(part.part.index), "of": JSONValue(part.part.count), "questions": JSONValue(part.questions),
      ]
    }
    var writer = SafetensorsWriter(metadata: [
      ("format", Self.format), ("version", Self.version), ("record", JSONValue.object(document).text()),
    ])
    var written: Set<String> = []
    for (index, item) in cases.enumerated() {
      for picture in item.question.pictures where written.insert(picture.name).inserted {
        try writer.add("image.\(picture.name)", .u8, shape: [picture.bytes.count], bytes: picture.bytes)
      }
      try Self.add(item.logits, of: "case.\(index)", to: &writer)
    }
    return writer.encodedWithChecksum
  }

  private var required: [String] {
    (keptLogits == nil ? [] : [Self.topLogits])
      + (cases.allSatisfy(\.question.isPlain) ? [] : [Self.conversations])
      + (correctsUnpadding ? [Self.correctedUnpadding] : [])
  }

  private static func add(_ logits: [KeptLogits], of name: String, to writer: inout SafetensorsWriter) throws {
    guard let ids = logits.first?.ids else {
      let vocabulary = logits.first?.count ?? 0
      return try writer.add(
        "\(name).logits", shape: [logits.count, vocabulary], floats: logits.flatMap(\.values))
    }
    let shape = [logits.count, ids.count]
    let numbers = logits.flatMap { ($0.ids ?? []).map { Int32(truncatingIfNeeded: $0).littleEndian } }
    try writer.add("\(name).top.ids", .i32, shape: shape, bytes: numbers.withUnsafeBytes { Bytes(Array($0)) })
    try writer.add("\(name).top.logits", shape: shape, floats: logits.flatMap(\.values))
    try writer.add(
      "\(name).rest", shape: [logits.count, 2],
      floats: logits.flatMap { [$0.rest?.logSum ?? -.infinity, $0.rest?.greatest ?? -.infinity] })
  }

  /// Reads a record file.
  ///
  /// - Throws: 65 when it is none, or a part of it is missing or inconsistent.
  public init(path: String) throws { try self.init(SafetensorsFile(path: path)) }

  /// Whether there is a record at `path`, not weights in a file of the same kind.
  package static func isThere(at path: String) -> Bool {
    guard fileKind(at: path) == .file, let file = try? SafetensorsFile(path: path) else { return false }
    return file.metadata.contains { $0.name == "format" && $0.value == format }
  }

  /// Reads a record that came out of a `.grist` file; `path` is for messages.
  ///
  /// - Throws: 65 when the bytes are no record.
  public init(_ bytes: Bytes, path: String) throws { try self.init(SafetensorsFile(bytes, path: path)) }

  private init(_ file: SafetensorsFile) throws {
    let path = file.path
    func metadata(_ name: String) -> String? { file.metadata.first { $0.name == name }?.value }
    guard metadata("format") == Self.format, let text = metadata("record") else {
      throw GristError(
        .badData, "not a record of reference answers", file: path, advice: "make one with `gristmill record`")
    }
    guard metadata("version") == Self.version else {
      throw GristError(
        .badData, "a record of a version this program does not read", file: path, found: metadata("version"),
        advice: metadata("version").flatMap { Int($0) } ?? 0 > 3
          ? "use a newer gristmill" : "record the checkpoint again")
    }
    try file.requireChecksum()
    let json = try JSONReader(locating(file: path) { try JSONValue.parse(text) }, file: path)
    let tensors = Dictionary(file.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let required = try json.strings("requires")
    let known = [Self.topLogits, Self.conversations, Self.correctedUnpadding]
    if let feature = required.first(where: { !known.contains($0) }) {
      throw GristError(
        .badData, "the record asks for something that this version does not know", file: path, found: feature,
        advice: "use a newer gristmill")
    }
    correctsUnpadding = required.contains(Self.correctedUnpadding)
    fingerprint = try json.string("fingerprint")
    source = try json.string("source")
    // Only a record that says so was made from weights that had lost nothing.
    loss =
      json.value("loss") == false
      ? nil : try json.string("loss", default: "the record does not tell what its weights went through")
    let asked = try json.object("asked")
    guard try asked.string("sampling") == "greedy" else { throw asked.failure("sampling", "greedy") }
    clock =
      asked.has("date")
      ? try ChatProgram.Clock(date: asked.string("date"))
        ?? { throw asked.failure("date", "a date such as 2026-07-31") }() : nil
    template = asked.has("template") ? try asked.string("template") : nil
    alignment = json.has("alignment") ? try json.string("alignment") : nil
    part = json.has("part") ? try Self.part(json.object("part")) : nil
    let vocabulary = try json.integer("vocabulary", in: 0...Int(Int32.max), default: 0)
    cases = try json.objects("cases").enumerated().map { index, item in
      let pictures = try item.strings("images").map { name in
        guard let tensor = tensors["image.\(name)"], tensor.elementType == .u8 else {
          throw GristError(.badData, "the record lacks a picture", file: path, tensor: "image.\(name)")
        }
        return Question.Picture(name: name, bytes: try tensor.bytes())
      }
      let tokens = try item.integers("tokens", in: 0...Int(Int32.max))
      let logits = try Self.logits(
        "case.\(index)", tokens: tokens.count, vocabulary: vocabulary, tensors, path: path)
      var result = Case(
        question: try Question(item, pictures: pictures),
        inputIDs: try item.integers("input_ids", in: -1000...Int(Int32.max)),
        decision: item.has("decision") ? try RouterDecision(item.object("decision")) : nil,
        granularity: item.has("granularity") ? try item.granularity("granularity") : nil,
        sequenceLength: try item.integer("sequence_length", in: 1...Int(Int32.max)), tokens: tokens,
        logits: logits)
      result.rounded = try Self.rounded(item)
      result.int8Choice = try Self.int8Choice(item)
      return result
    }
  }

  private static func part(_ json: JSONReader) throws -> Part {
    let (index, count) = try (json.integer("index", in: 1...1_000_000), json.integer("of", in: 1...1_000_000))
    guard let part = QuestionPart(index: index, count: count) else {
      throw json.failure("index", "no more than \(count)")
    }
    return Part(part: part, questions: try json.string("questions"))
  }

  /// Choices in other arithmetic; a record that was made without says nothing.
  private static func rounded(_ item: JSONReader) throws -> [Compute.Rounding: Case.RoundedChoice] {
    guard item.has("decision"), case let decision = try item.object("decision"), decision.has("rounded") else {
      return [:]
    }
    let choices = try decision.object("rounded")
    var result: [Compute.Rounding: Case.RoundedChoice] = [:]
    for rounding in Compute.Rounding.allCases where choices.has(rounding.rawValue) {
      // Written as 0 where a value left the type's range.
      result[rounding] =
        choices.value(rounding.rawValue) == 0 ? .notFinite : .granularity(try choices.granularity(rounding.rawValue))
    }
    return result
  }

  private static func int8Choice(_ item: JSONReader) throws -> Case.Int8Choice? {
    guard item.has("decision"), case let decision = try item.object("decision"), decision.has("int8") else {
      return nil
    }
    let choice = try decision.object("int8")
    let spread = Float(try choice.double("spread"))
    guard spread >= 0, spread.isFinite else { throw choice.failure("spread", "a number from 0 on") }
    return Case.Int8Choice(kernels: try choice.string("kernels"), spread: spread)
  }

  /// All logits of a case, or those that were kept.
  private static func logits(
    _ name: String, tokens: Int, vocabulary: Int, _ tensors: [String: SourceTensor], path: String
  ) throws -> [KeptLogits] {
    func tensor(_ suffix: String, _ type: ElementType) throws -> SourceTensor {
      guard let tensor = tensors["\(name).\(suffix)"], tensor.elementType == type, tensor.shape.count == 2,
        tensor.shape[0] == tokens
      else { throw GristError(.badData, "the record lacks logits", file: path, tensor: "\(name).\(suffix)") }
      return tensor
    }
    guard tensors["\(name).top.ids"] != nil else { return try rows(tensor("logits", .f32)).map { KeptLogits($0) } }
    let (ids, values, rest) = (try tensor("top.ids", .i32), try tensor("top.logits", .f32), try tensor("rest", .f32))
    let bytes = try ids.bytes()
    let kept = ids.shape[1]
    return try zip(rows(values), rows(rest)).enumerated().map { row, pair in
      let (values, rest) = pair
      let ids = (0..<kept).compactMap { place in
        bytes.integer(at: (row * kept + place) * 4, as: Int32.self).map(Int.init)
      }
      guard ids.count == values.count, rest.count == 2, Set(ids).count == ids.count,
        ids.allSatisfy({ (0..<vocabulary).contains($0) })
      else { throw GristError(.badData, "the record's kept logits do not fit together", file: path, tensor: name) }
      return KeptLogits(
        ids: ids, values: values, rest: KeptLogits.Rest(logSum: rest[0], greatest: rest[1]), count: vocabulary)
    }
  }

  private static func rows(_ tensor: SourceTensor) throws -> [[Float]] {
    let bytes = try tensor.bytes()
    let columns = tensor.shape[1]
    return try (0..<tensor.shape[0]).map { row in
      try (0..<columns).map { column in
        guard let bits = bytes.integer(at: (row * columns + column) * 4, as: UInt32.self) else {
          throw GristError(.badData, "the record's logits end too soon", tensor: tensor.name)
        }
        return Float(bitPattern: bits)
      }
    }
  }
}

extension ReferenceRecord {
  /// Logits of each token that are kept; nil where all are.
  public var keptLogits: Int? { cases.lazy.compactMap { $0.logits.first?.ids?.count }.first }
}

extension ReferenceRecord.Case {
  private func json(_ decision: RouterDecision) -> JSONValue {
    var object = decision.json.object ?? [:]
    if !rounded.isEmpty {
      var choices = JSONObject()
      for rounding in Compute.Rounding.allCases {
        choices[rounding.rawValue] = rounded[rounding].map { choice in
          if case .granularity(let tokens) = choice { tokens.json } else { 0 }
        }
      }
      object["rounded"] = .object(choices)
    }
    if let int8Choice {
      object["int8"] = ["kernels": JSONValue(int8Choice.kernels), "spread": JSONValue(Double(int8Choice.spread))]
    }
    return .object(object)
  }

  fileprivate var json: JSONValue {
    let (system, turns) = question.turns
    return [
      "images": JSONValue(question.pictures.map(\.name)), "system": system, "turns": turns,
      "input_ids": JSONValue(inputIDs),
      "decision": decision.map(json) ?? .null,
      "granularity": granularity.map(\.json) ?? .null, "sequence_length": JSONValue(sequenceLength),
      "tokens": JSONValue(tokens),
    ]
  }
}

extension OutputKind {
  /// A record of reference answers.
  public static let record = OutputKind(name: "a record", containing: ReferenceRecord.format)
}
