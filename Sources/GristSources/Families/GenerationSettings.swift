import GristCore

/// How a model's `generation_config.json` would have its answers made, where that is not greedily.
public struct GenerationSettings: Sendable, Equatable {
  public static let fileName = "generation_config.json"

  /// Settings that change which tokens are taken, as "name value", in the order of transformers' documentation.
  public let settings: [String]

  /// Each setting with the values that change nothing in transformers' `generate`.
  private static let neutral: [(name: String, values: [JSONValue])] = [
    ("do_sample", [false]), ("temperature", [1]), ("top_k", [0, 50]), ("top_p", [1]), ("min_p", [0]),
    ("typical_p", [1]),
    ("num_beams", [1]), ("repetition_penalty", [1]), ("no_repeat_ngram_size", [0]), ("penalty_alpha", [0]),
  ]

  /// Settings that count only where tokens are drawn.
  private static let ofSampling: Set = ["temperature", "top_k", "top_p", "min_p", "typical_p"]

  /// Nil where the file asks for what is done anyway.
  public init?(_ json: JSONReader) {
    let samples = json.value("do_sample")?.bool == true
    settings = Self.neutral.compactMap { name, values in
      guard let value = json.value(name), samples || !Self.ofSampling.contains(name),
        !values.contains(where: { $0 == value || $0.double == value.double && value.double != nil })
      else { return nil }
      return value == true ? name : "\(name) \(value.text().shortened())"
    }
    if settings.isEmpty { return nil }
  }

  /// For whoever reads an answer that was made greedily.
  public var note: String {
    "greedy; its generation_config.json asks for \(settings.joined(separator: ", "))"
  }
}

extension SideFiles {
  /// What `generation_config.json` asks for beyond greedy answers; nil where it is not there or asks for nothing.
  ///
  /// - Throws: 65 where it is no JSON.
  func generationSettings() throws -> GenerationSettings? {
    try json(GenerationSettings.fileName).flatMap(GenerationSettings.init)
  }
}
