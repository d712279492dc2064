import GristCheckpoints
import GristCore
import GristImaging
import GristKernels
import GristModel

/// Feeds a model what it will be asked, and watches what flows into its matrices.
public struct Calibration: Sendable {
  /// Something to feed through the model.
  public struct Sample: Sendable {
    /// A JPEG's bytes; nil for a question without a picture.
    public let picture: Bytes?
    public let question: String
    /// Nil lets the model answer for itself.
    public let answer: String?

    public init(picture: Bytes? = nil, question: String, answer: String? = nil) {
      self.picture = picture
      self.question = question
      self.answer = answer
    }
  }

  public let samples: [Sample]
  /// What they are, for people.
  public let name: String
  /// Tokens of an answer that the model gives itself.
  public static let answerTokens = 64

  public init(samples: [Sample], name: String) {
    self.samples = samples
    self.name = name
  }

  /// Questions and answers of this package; see ``BundledText``.
  public static let bundled = Calibration(
    samples: BundledText.conversations.map { Sample(question: $0.question, answer: $0.answer) },
    name: "\(BundledText.conversations.count) bundled conversations")

  /// Gathers the statistics of a checkpoint's matrices. `progress` hears the fraction done.
  ///
  /// Weights are read as they are needed and lie in the file's own pages, which the system takes back when it needs them;
  /// beside them stand the moments (256 bytes a column of every input) and what one prompt takes.
  ///
  /// Throws what running the model throws, and 130 when interrupted.
  public func gather(
    _ source: ModelSource, pool: ThreadPool, progress: (Double) -> Void = { _ in }
  ) throws -> InputStatistics {
    let compute = Compute(pool: pool, activations: .f32)
    let parameters = source.parameters(pool: pool)
    let observer = InputObserver()
    let observed = try VisionLanguageModel(
      ObservingParameters(base: parameters, observer: observer), compute: compute)
    let plain = try VisionLanguageModel(parameters, compute: compute)
    var tokens = 0
    for (index, sample) in samples.enumerated() {
      try Interruption.check()
      progress(Double(index) / Double(samples.count))
      let conversation = try Conversation(message: sample.question, hasImage: sample.picture != nil)
      let image = try sample.picture.map {
        try observed.encode(RGBImage(jpeg: $0, name: "a picture to calibrate with"))
      }
      let prompt = try observed.prepare(conversation, image: image)
      let answer =
        try sample.answer.map { try observed.tokenizer.encode($0) }
        ?? plain.answer(
          prompt, maxNewTokens: Self.answerTokens, sampler: Sampler(temperature: 1, topP: 0.95, seed: UInt64(index))
        ).tokens
      let whole = try observed.appending(answer, to: prompt)
      _ = try observed.start(whole, newTokens: 0)
      tokens += whole.sequenceLength
    }
    return InputStatistics(
      fingerprint: try source.fingerprint(), text: name, tokens: tokens, observer: observer)
  }
}
