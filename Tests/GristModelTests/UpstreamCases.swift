import GristCore
import GristImaging
import GristKernels
import GristModel
import GristSources
import TestSupport
import Testing

/// The cases of an `expected.json`: what upstream's implementation, or the PyTorch reference, computed.
struct UpstreamCases {
  let model: VisionLanguageModel
  let cases: [JSONValue]
  let images: String

  /// - Parameter expected: the cases; nil for `expected.json` inside the checkpoint.
  init(
    checkpoint: String, images: String, expected: String? = nil, activations: Compute.Activations = .f32
  ) throws {
    let compute = Compute(pool: try ThreadPool(threads: 2), activations: activations)
    model = try VisionLanguageModel(
      Source.open(path: checkpoint).parameters(pool: compute.pool), compute: compute)
    cases = try #require(JSONValue.parse(readFile(expected ?? checkpoint + "/expected.json")).array)
    self.images = images
  }

  func conversation(_ expected: JSONValue) throws -> Conversation {
    let history = (expected["history"]?.array ?? []).compactMap { turn -> Conversation.Turn? in
      let texts =
        turn.array?.compactMap(\.string) ?? [turn["user"]?.string, turn["assistant"]?.string].compactMap { $0 }
      return texts.count == 2 ? Conversation.Turn(user: texts[0], assistant: texts[1]) : nil
    }
    return try Conversation(
      history: history, message: #require(expected["prompt"]?.string), hasImage: expected["image"]?.string != nil)
  }

  func features(
    _ expected: JSONValue, by other: VisionLanguageModel? = nil
  ) throws -> VisionLanguageModel.ImageFeatures? {
    try expected["image"]?.string.map { try (other ?? model).encode(RGBImage(file: images + "/" + $0)) }
  }

  /// How much was held against a figure, so that a fixture that lost its figures does not pass.
  struct Checked: Equatable, CustomStringConvertible {
    var cases = 0
    var tiles = 0
    var choices = 0
    var filters = 0
    var forced = 0
    var tokens = 0

    var description: String {
      "\(cases) cases, \(tiles) tiles, \(choices) choices, \(filters) filters, \(forced) forced, \(tokens) tokens"
    }
  }

  /// Holds every case to the figures the project promises, and the number of figures to `wanted`.
  func check(_ wanted: Checked) throws {
    var checked = Checked()
    for expected in cases {
      checked.cases += 1
      let name = "\(expected["image"]?.string ?? "text") | \(expected["prompt"]?.string ?? "")"
      let image = try features(expected)
      let prompt = try model.prepare(conversation(expected), image: image, overlength: .truncated)
      #expect(prompt.inputIDs == expected["input_ids"]?.integers, "\(name)")
      #expect(prompt.sequenceLength == expected["sequence_length"]?.integer, "\(name)")
      if let tiles = expected["tiles"]?.integer {
        #expect(prompt.tiles == tiles, "\(name)")
        checked.tiles += 1
      }
      if let logits = expected["router_logits"]?.floats, !logits.isEmpty {
        let decision = try #require(prompt.decision, "\(name)")
        #expect(largestDifference(decision.scores, logits) <= 5e-5, "\(name)")
        #expect(decision.granularity == expected["router_choice"]?.integer.map { .uniform($0) }, "\(name)")
        checked.choices += 1
      } else {
        #expect(prompt.decision == nil, "\(name)")
      }
      if let filter = expected["filter"]?.integers, let decision = prompt.decision {
        #expect(decision.filterOrder == filter, "\(name)")
        checked.filters += 1
      }
      checked.tokens += try checkOutputs(expected, prompt, name)
      for (granularity, forced) in expected["forced"]?.object?.members ?? [] {
        try checkForced(forced, conversation(expected), image, Int(granularity), name + " forced " + granularity)
        checked.forced += 1
      }
    }
    #expect(checked == wanted)
  }

  /// Returns how many tokens were compared.
  private func checkOutputs(
    _ expected: JSONValue, _ prompt: VisionLanguageModel.PreparedPrompt, _ name: String
  ) throws -> Int {
    let generated = expected["generated"]?.integers ?? []
    let margins = expected["generated_margins"]?.floats ?? []
    let session = try model.start(prompt, newTokens: generated.count)
    #expect(largestDifference(session.logits, expected["last_logits"]?.floats ?? []) <= 2e-4, "\(name)")
    var compared = 0
    for (token, margin) in zip(generated, margins) {
      if margin < 0.005 { break }
      #expect(indexOfGreatest(session.logits) == token, "\(name)")
      try session.advance(token)
      compared += 1
    }
    return compared
  }

  private func checkForced(
    _ expected: JSONValue, _ conversation: Conversation, _ image: VisionLanguageModel.ImageFeatures?,
    _ granularity: Int?, _ name: String
  ) throws {
    let prompt = try model.prepare(
      conversation, image: image, granularity: granularity.map { .uniform($0) }, overlength: .truncated)
    #expect(prompt.sequenceLength == expected["sequence_length"]?.integer, "\(name)")
    let logits = try model.start(prompt, newTokens: 0).logits
    let head = expected["last_logits_head"]?.floats ?? []
    #expect(largestDifference(Array(logits.prefix(head.count)), head) <= 2e-4, "\(name)")
    if let margin = expected["margin"]?.double, margin >= 0.005 {
      #expect(indexOfGreatest(logits) == expected["argmax"]?.integer, "\(name)")
    }
  }
}

/// The largest absolute difference; infinite when the counts differ or a value is not finite.
func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
  guard a.count == b.count, !a.isEmpty else { return .infinity }
  return zip(a, b).reduce(0) { greatest, pair in
    let difference = abs(pair.0 - pair.1)
    return difference.isNaN ? .infinity : max(greatest, difference)
  }
}
