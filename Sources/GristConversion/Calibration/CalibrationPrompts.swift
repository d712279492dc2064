import GristCore
import GristImaging
import GristKernels
import GristModel
import GristSources

/// Samples turned into what the decoder reads, prompt and answer, one after the other.
///
/// Tower, projector and router run meanwhile, on the source's weights, and what their matrices meet is added to the
/// statistics.
final class CalibrationPrompts {
  let parameters: any ParameterStore
  private let samples: [Calibration.Sample]
  private let model: VisionLanguageModel
  private let observed: VisionLanguageModel
  private let format: CalibrationFormat
  private let observer: InputObserver
  private var position: Int
  private let end: Int
  /// A prompt that found no room in the batch before.
  private var waiting: Prompt?

  /// A sample as the decoder reads it.
  struct Prompt {
    let prepared: VisionLanguageModel.PreparedPrompt
    /// Which run of the samples it belongs to.
    let run: Int

    var sequenceLength: Int { prepared.sequenceLength }
  }

  /// - Parameters:
  ///   - samples: all of them.
  ///   - runs: which runs of them are gone through, see ``MomentTree``.
  ///   - source: the model.
  ///   - observer: is told what matrices of tower, projector and router meet.
  ///   - plan: how the model is run within a budget; nil without one.
  ///   - pool: computes.
  init(
    _ samples: [Calibration.Sample], runs: Range<Int> = 0..<MomentTree.leaves, _ source: Source,
    observer: InputObserver, plan: MemoryPlan? = nil, pool: ThreadPool
  ) throws {
    self.samples = samples
    self.observer = observer
    let range = MomentTree.samples(of: runs, of: samples.count)
    (position, end) = (range.lowerBound, range.upperBound)
    let compute = Compute(pool: pool, activations: .f32)
    let opened = try source.model(compute: compute)
    model = try plan.map { try opened.running($0) } ?? opened
    let parameters = source.parameters(pool: pool, residency: model.residency)
    self.parameters = parameters
    format = CalibrationFormat(model.configuration)
    observed = try VisionLanguageModel(
      ObservingParameters(base: parameters, observer: observer), compute: compute)
  }

  var hiddenSize: Int { model.configuration.hiddenSize }
  var layers: Int { model.configuration.layers }

  func matrices(ofLayer layer: Int) -> [ExpectedTensor] {
    DecoderLayerTensors(layer, model.configuration.language).matrices
  }

  func head() throws -> any LinearWeights { try parameters.matrix(model.configuration.language.output) }

  /// Samples that were not prepared yet.
  var left: Int { end - position + (waiting == nil ? 0 : 1) }

  /// The share of all samples that is done when `part` of the last `count` is.
  func fraction(done part: Double, of count: Int) -> Double {
    (Double(samples.count - left) - Double(count) * (1 - part)) / Double(max(samples.count, 1))
  }

  /// The next prompts with their answers, as many as fit into `rows`, one at least; none when all were given.
  func next(rows: Int) throws -> [Prompt] {
    var batch: [Prompt] = []
    var taken = 0
    while left > 0 {
      let prompt = try waiting ?? prepare(position)
      if waiting == nil { position += 1 }
      guard batch.isEmpty || taken + prompt.sequenceLength <= rows else {
        waiting = prompt
        break
      }
      waiting = nil
      taken += prompt.sequenceLength
      batch.append(prompt)
    }
    releaseVision()
    return batch
  }

  /// Gives back the pages of what turned the samples into rows: the decoder goes through its own meanwhile.
  private func releaseVision() {
    for tensor in model.configuration.expectedTensors where tensor.part.decidesChoices {
      parameters.release(tensor.name)
    }
  }

  private func prepare(_ index: Int) throws -> Prompt {
    try Interruption.check()
    let run = MomentTree.leaf(ofSample: index, of: samples.count)
    observer.run = run
    let sample = samples[index]
    let conversation = try sample.question.conversation(clock: CalibrationFormat.clock)
    let images = try sample.question.pictures.map {
      try observed.encode(observed.picture(encoded: $0.bytes, name: $0.name))
    }
    var prompt = try observed.prepare(conversation, images: images, format: format.format)
    if let most = finestGrid(within: sample.shareOfTokens), let chosen = prompt.granularity, most < chosen.finest {
      prompt = try model.prepare(conversation, images: images, granularity: .uniform(most), format: format.format)
    }
    let answer =
      try sample.question.answer.map { try observed.tokenizer.encode($0) }
      ?? model.answer(
        prompt, maxNewTokens: Calibration.answerTokens,
        sampler: Sampler(temperature: 1, topP: 0.95, seed: UInt64(index))
      ).tokens
    return Prompt(prepared: try observed.appending(answer, to: prompt), run: run)
  }

  /// The finest grid that takes no more than a share of the finest one's tokens; nil where none is so coarse.
  private func finestGrid(within share: Double) -> Int? {
    let grids = model.configuration.granularities
    guard let finest = grids.max() else { return nil }
    return grids.filter { Double($0) <= share * Double(finest) }.max()
  }

  func walk(_ prompts: [Prompt], _ compute: Compute) throws -> DecoderWalk {
    let lengths = prompts.map(\.sequenceLength)
    let rows = FloatMatrix(rows: lengths.reduce(0, +), columns: model.configuration.hiddenSize)
    var row = 0
    for prompt in prompts {
      rows.copyRows(0..<prompt.sequenceLength, of: prompt.prepared.rows, toRow: row)
      row += prompt.sequenceLength
    }
    return try walk(rows, lengths: lengths, compute)
  }

  /// A walk of rows that entered layer `layer`.
  func walk(_ rows: FloatMatrix, lengths: [Int], layer: Int = 0, _ compute: Compute) throws -> DecoderWalk {
    try DecoderWalk(
      rows: rows, lengths: lengths, layer: layer, configuration: model.configuration, store: parameters,
      compute: compute)
  }
}
