import GristCore
import GristImaging
import GristKernels
import GristModel
import GristSources

/// Measures what quantizing one part alone does to the router's choices: a layer of the tower, its embeddings, the
/// projector, the token embeddings, the router.
///
/// Each part in turn is quantized alone, and the model is asked about the first pictures: as many questions as time
/// allows, 64 of a small model and two of a large one; where pictures are fewer, other samples' questions are asked
/// about them, too. Its price, in nats, is how far the router's distribution over the grids moves, which weighs a
/// change by the margins that it eats up, and how far the first tokens of the picture's own answer move, at the
/// coarsest grid. As with ``SensitivityMeter`` only the scheme of the fewest bits is tried; what the others cost
/// follows from how much less they change the weights.
package struct PictureSensitivityMeter {
  /// Fewest questions that are asked, and most where nothing else is said.
  package static let questions = 2...64
  /// Weights that are tried, times questions: what bounds the time that measuring takes.
  static let work = 1 << 33
  /// Tokens of each answer.
  static let tokens = 8

  private let calibration: Calibration
  private let mostQuestions: Int
  private let trial: TrialQuantization
  private let parameters: any ParameterStore
  private let configuration: ModelConfiguration
  private let compute: Compute

  /// - Parameters:
  ///   - calibration: what is asked; its first samples with pictures serve.
  ///   - source: the model.
  ///   - isCalibrated: whether codes will be made with error feedback: those that are tried are made likewise.
  ///   - pool: computes.
  ///   - mostQuestions: so many of a model small enough.
  ///
  /// - Throws: What opening the model throws.
  package init(
    _ calibration: Calibration, _ source: Source, isCalibrated: Bool, pool: ThreadPool,
    mostQuestions: Int = Self.questions.upperBound
  ) throws {
    self.calibration = calibration
    self.mostQuestions = mostQuestions
    compute = Compute(pool: pool, activations: .f32)
    trial = try TrialQuantization(source, isCalibrated: isCalibrated, pool: pool)
    parameters = source.parameters(pool: pool)
    configuration = try source.configuration()
  }

  /// A picture, what is asked about it, and what the untouched model makes of that.
  private struct Case {
    let image: RGBImage
    /// The first is answered.
    let questions: [Conversation]
    /// Of the answer, those that are fed in.
    let tokens: [Int]
    var views = Views()
  }

  /// What a model decides and says.
  private struct Views {
    /// The router's decision on each question; none for a model without one.
    var router: [RouterDecision] = []
    /// Of the answer's tokens.
    var logits: [[Float]] = []
  }

  /// Measures the parts that have matrices among `names`; none where no sample has a picture.
  ///
  /// - Parameters:
  ///   - names: which matrices; others stay as they are throughout.
  ///   - schemes: the schemes, the fewest bits first.
  ///   - progress: hears the fraction done.
  ///
  /// - Throws: What running the model throws, 130 when interrupted.
  package func measure(
    _ names: Set<ByteName>, schemes: [RequestedScheme], progress: (Double) throws -> Void = { _ in }
  ) throws -> [Sensitivity] {
    let parts = parts(names)
    guard !parts.isEmpty else { return [] }
    let observer = InputObserver()
    let untouched = try VisionLanguageModel(parameters, compute: compute)
    let observed = try VisionLanguageModel(ObservingParameters(base: parameters, observer: observer), compute: compute)
    let weights = parts.joined().reduce(0) { $0 + ($1.shape.reduce(1, *)) }
    var cases = try cases(untouched, questions: questionCount(weights))
    guard !cases.isEmpty else { return [] }
    for index in cases.indices {
      // Observed until the router has decided: inputs of the language model are not wanted.
      cases[index].views = try views(untouched, cases[index], by: observed)
    }
    return try parts.enumerated().map { index, part in
      try progress(Double(index) / Double(parts.count))
      return try measure(part, schemes, cases, observer)
    }
  }

  /// The matrices of `names` by the part they are of, in execution order.
  private func parts(_ names: Set<ByteName>) -> [[ExpectedTensor]] {
    var parts: [[ExpectedTensor]] = []
    for tensor in configuration.expectedTensors where names.contains(ByteName(tensor.name)) {
      switch tensor.part {
      case .tokenEmbeddings, .visionEmbeddings, .visionLayer, .projector, .router: break
      case .languageLayer, .head, .unused: continue
      }
      if parts.last?.first?.part == tensor.part {
        parts[parts.count - 1].append(tensor)
      } else {
        parts.append([tensor])
      }
    }
    return parts
  }

  private func questionCount(_ weights: Int) -> Int {
    max(min(Self.work / max(weights, 1), mostQuestions), Self.questions.lowerBound)
  }

  private func cases(_ model: VisionLanguageModel, questions: Int) throws -> [Case] {
    let seen = calibration.samples.map(\.question).filter { $0.isPlain && !$0.pictures.isEmpty }.prefix(questions)
    let others = calibration.samples.map(\.question.prompt)
    let more = configuration.vision?.usesRouter == true ? questions / max(seen.count, 1) - 1 : 0
    return try seen.enumerated().compactMap { index, sample in
      guard let picture = sample.pictures.first else { return nil }
      let tokens = try sample.answer.map { try model.tokenizer.encode($0) } ?? []
      let texts = [sample.prompt] + (0..<more).map { others[(index * more + $0) % others.count] }
      return Case(
        image: try model.picture(encoded: picture.bytes, name: picture.name),
        questions: try texts.map { try Conversation(message: $0, hasImage: true, clock: CalibrationFormat.clock) },
        tokens: Array(tokens.prefix(Self.tokens)))
    }
  }

  /// What a model makes of a case; `viewer` encodes the picture and routes, where given.
  private func views(_ model: VisionLanguageModel, _ asked: Case, by viewer: VisionLanguageModel? = nil) throws -> Views
  {
    let viewer = viewer ?? model
    let image = try viewer.encode(asked.image)
    let format = CalibrationFormat(configuration).format
    var views = Views()
    for question in asked.questions {
      try Interruption.check()
      if let decision = try viewer.prepare(question, image: image, format: format).decision {
        views.router.append(decision)
      }
    }
    guard let question = asked.questions.first else { return views }
    let prompt = try model.prepare(
      question, image: image, granularity: configuration.granularities.min().map { .uniform($0) }, format: format)
    let session = try model.start(prompt, newTokens: asked.tokens.count)
    views.logits.append(session.logits)
    for token in asked.tokens {
      try session.advance(token)
      views.logits.append(session.logits)
    }
    return views
  }

  private func measure(
    _ part: [ExpectedTensor], _ schemes: [RequestedScheme], _ cases: [Case], _ observer: InputObserver
  ) throws -> Sensitivity {
    var replaced = ReplacedParameters(base: parameters)
    var changes = [Double](repeating: 0, count: schemes.count)
    var byteCounts = [Int](repeating: 0, count: schemes.count)
    var weights = 0
    for expected in part {
      guard let tensor = trial.tensor(named: expected.name) else { continue }
      let name = ByteName(expected.name)
      weights += tensor.elementCount
      let feedback = trial.isCalibrated ? observer.feedback(for: expected.name) : nil
      for (index, requested) in schemes.enumerated() {
        let error: ErrorSums
        if expected.kind == .embedding {
          let quantized = try trial.quantizeTable(tensor, requested)
          if index == 0 { replaced.tables[name] = quantized.weights }
          (error, byteCounts[index]) = (quantized.error, byteCounts[index] + quantized.byteCount)
        } else {
          let quantized = try trial.quantize(tensor, requested, feedback)
          if index == 0 { replaced.matrices[name] = quantized.weights }
          (error, byteCounts[index]) = (quantized.error, byteCounts[index] + quantized.byteCount)
        }
        changes[index] += error.squaredError
      }
    }
    let model = try VisionLanguageModel(replaced, compute: compute)
    var price = 0.0
    for question in cases {
      let views = try views(model, question)
      let margins = zip(question.views.router, views.router).map(marginPrice)
      price += mean(margins)
      price += mean(zip(question.views.logits, views.logits).map { Divergence(reference: $0, model: $1).kl })
    }
    return Sensitivity(
      names: part.map(\.name), weights: weights, tried: price / Double(cases.count), schemes: schemes,
      byteCounts: byteCounts,
      changes: changes)
  }

  /// What moving the margin between the reference's first two grids would cost were they equally likely: an eighth of
  /// the square of the change, the divergence of two such distributions. So every question tells how far margins move,
  /// whether its own is small or not.
  private func marginPrice(reference: RouterDecision, model: RouterDecision) -> Double {
    let change = Double(reference.marginChange(in: model))
    return change * change / 8
  }

  /// 0 where there is nothing to compare.
  private func mean(_ prices: [Double]) -> Double { prices.reduce(0, +) / Double(max(prices.count, 1)) }
}

/// A model's weights, some of which are others.
private struct ReplacedParameters: ParameterDecorator {
  let base: any ParameterStore
  var matrices: [ByteName: any LinearWeights] = [:]
  var tables: [ByteName: any EmbeddingTable] = [:]

  func matrix(_ name: String, rows: Int, columns: Int) throws -> any LinearWeights {
    try matrices[ByteName(name)] ?? base.matrix(name, rows: rows, columns: columns)
  }

  func embedding(_ name: String, rows: Int, columns: Int) throws -> any EmbeddingTable {
    // Where embeddings are tied to the head, the table is a matrix.
    try tables[ByteName(name)] ?? matrices[ByteName(name)].map(MatrixTable.init)
      ?? base.embedding(name, rows: rows, columns: columns)
  }
}
