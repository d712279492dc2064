import GristCheckpoints
import GristCore
import GristFamilies
import GristImaging
import GristKernels
import GristModel
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
      CheckpointParameters(CheckpointReading().checkpoint(at: checkpoint)), compute: compute)
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
    try expected["image"]?.string.map { try (other ?? model).encode(RGBImage(jpegFile: images + "/" + $0)) }
  }

  /// Holds every case to the figures the project promises.
  func check() throws {
    for expected in cases {
      let name = "\(expected["image"]?.string ?? "text") | \(expected["prompt"]?.string ?? "")"
      let image = try features(expected)
      let prompt = try model.prepare(conversation(expected), image: image, overlength: .truncated)
      #expect(prompt.inputIDs == expected["input_ids"]?.integers, "\(name)")
      #expect(prompt.sequenceLength == expected["sequence_length"]?.integer, "\(name)")
      if let tiles = expected["tiles"]?.integer { #expect(prompt.tiles == tiles, "\(name)") }
      if let logits = expected["router_logits"]?.floats, !logits.isEmpty {
        let decision = try #require(prompt.decision, "\(name)")
        #expect(largestDifference(decision.logits, logits) <= 5e-5, "\(name)")
        #expect(decision.choice == expected["router_choice"]?.integer, "\(name)")
      } else {
        #expect(prompt.decision == nil, "\(name)")
      }
      if let filter = expected["filter"]?.integers, let decision = prompt.decision {
        #expect(decision.filterOrder == filter, "\(name)")
      }
      try checkOutputs(expected, prompt, name)
      for (granularity, forced) in expected["forced"]?.object?.members ?? [] {
        try checkForced(forced, conversation(expected), image, Int(granularity), name + " forced " + granularity)
      }
    }
  }

  private func checkOutputs(
    _ expected: JSONValue, _ prompt: VisionLanguageModel.PreparedPrompt, _ name: String
  ) throws {
    let generated = expected["generated"]?.integers ?? []
    let margins = expected["generated_margins"]?.floats ?? []
    let session = try model.start(prompt, newTokens: generated.count)
    #expect(largestDifference(session.logits, expected["last_logits"]?.floats ?? []) <= 2e-4, "\(name)")
    for (token, margin) in zip(generated, margins) {
      if margin < 0.005 { break }
      #expect(indexOfGreatest(session.logits) == token, "\(name)")
      try session.advance(token)
    }
  }

  private func checkForced(
    _ expected: JSONValue, _ conversation: Conversation, _ image: VisionLanguageModel.ImageFeatures?,
    _ granularity: Int?, _ name: String
  ) throws {
    let prompt = try model.prepare(
      conversation, image: image, granularity: granularity, overlength: .truncated)
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
