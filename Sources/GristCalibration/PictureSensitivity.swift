import GristCore
import GristFamilies
import GristImaging
import GristKernels
import GristModel
import GristQuantization

/// Measures, part by part, what quantizing what sees and routes does: a layer of the tower, its embeddings, the projector, the
/// router.
///
/// Each part in turn is quantized alone, and the model is asked about the first pictures. Its price, in nats, is how far the
/// router's distribution over the grids moves, which weighs a change by the margins that it eats up, and how far the first tokens
/// of the answer move, at the coarsest grid. As with ``SensitivityProbe`` only the scheme of the fewest bits is tried; what the
/// others cost follows from how much less they change the weights.
public struct PictureSensitivityProbe {
  /// Pictures that are asked about, and tokens of each answer.
  static let (pictures, tokens) = (2, 8)

  private let calibration: Calibration
  private let trial: TrialQuantization
  private let parameters: any ParameterStore
  private let configuration: ModelConfiguration
  private let compute: Compute

  /// - Parameters:
  ///   - calibration: what is asked; its first samples with pictures serve.
  ///   - source: the model.
  ///   - isCalibrated: whether rounding errors will be fed on: the codes that are tried are made likewise.
  ///   - pool: computes.
  ///
  /// - Throws: What opening the model throws.
  public init(_ calibration: Calibration, _ source: ModelSource, isCalibrated: Bool, pool: ThreadPool) throws {
    self.calibration = calibration
    compute = Compute(pool: pool, activations: .f32)
    trial = try TrialQuantization(source, isCalibrated: isCalibrated, pool: pool)
    parameters = source.parameters(pool: pool)
    configuration = try parameters.configuration()
  }

  /// A question about a picture, and what the untouched model makes of it.
  private struct Case {
    let image: RGBImage
    let conversation: Conversation
    /// Of the answer, those that are fed in.
    let tokens: [Int]
    var views = Views()
  }

  /// What a model decides and says.
  private struct Views {
    /// The router's logits; nil for a model without one.
    var router: [Float]?
    /// Of the answer's tokens.
    var logits: [[Float]] = []
  }

  /// Measures the parts that have matrices among `names`; none where no sample has a picture.
  ///
  /// - Parameters:
  ///   - names: which matrices; others stay as they are throughout.
  ///   - choices: the schemes, the fewest bits first.
  ///   - progress: hears the fraction done.
  ///
  /// - Throws: What running the model throws, 130 when interrupted.
  public func measure(
    _ names: Set<ByteName>, choices: [StorageChoice], progress: (Double) -> Void = { _ in }
  ) throws -> [Sensitivity] {
    let parts = parts(names)
    guard !parts.isEmpty else { return [] }
    let observer = InputObserver()
    let untouched = try VisionLanguageModel(parameters, compute: compute)
    let watched = try VisionLanguageModel(ObservingParameters(base: parameters, observer: observer), compute: compute)
    var cases = try cases(untouched)
    guard !cases.isEmpty else { return [] }
    for index in cases.indices {
      // Watched until the router has decided: what the language model meets is not wanted.
      cases[index].views = try views(untouched, cases[index], by: watched)
    }
    return try parts.enumerated().map { index, part in
      progress(Double(index) / Double(parts.count))
      return try measure(part, choices, cases, observer)
    }
  }

  /// The matrices of `names` by the part they are of, in execution order.
  private func parts(_ names: Set<ByteName>) -> [[String]] {
    var parts: [(part: ModelPart, names: [String])] = []
    for tensor in configuration.expectedTensors where names.contains(ByteName(tensor.name)) {
      switch tensor.part {
      case .visionEmbeddings, .visionLayer, .projector, .router: break
      case .tokenEmbeddings, .languageLayer, .head, .unused: continue
      }
      if parts.last?.part == tensor.part {
        parts[parts.count - 1].names.append(tensor.name)
      } else {
        parts.append((tensor.part, [tensor.name]))
      }
    }
    return parts.map(\.names)
  }

  private func cases(_ model: VisionLanguageModel) throws -> [Case] {
    try calibration.samples.lazy.filter { $0.picture != nil }.prefix(Self.pictures).compactMap { sample in
      guard let picture = sample.picture else { return nil }
      let tokens = try sample.answer.map { try model.tokenizer.encode($0) } ?? []
      return Case(
        image: try RGBImage(jpeg: picture, name: "a picture to measure with"),
        conversation: try Conversation(message: sample.question, hasImage: true),
        tokens: Array(tokens.prefix(Self.tokens)))
    }
  }

  /// What a model makes of a case; `eyes` look and route, where given.
  private func views(_ model: VisionLanguageModel, _ question: Case, by eyes: VisionLanguageModel? = nil) throws
    -> Views
  {
    try Interruption.check()
    let eyes = eyes ?? model
    let image = try eyes.encode(question.image)
    let decision = try eyes.prepare(question.conversation, image: image).decision
    let prompt = try model.prepare(question.conversation, image: image, granularity: configuration.granularities.min())
    let session = try model.start(prompt, newTokens: question.tokens.count)
    var logits = [session.logits]
    for token in question.tokens {
      try session.advance(token)
      logits.append(session.logits)
    }
    return Views(router: decision?.logits, logits: logits)
  }

  private func measure(
    _ names: [String], _ choices: [StorageChoice], _ cases: [Case], _ observer: InputObserver
  ) throws -> Sensitivity {
    var replaced: [ByteName: any LinearWeights] = [:]
    var changes = [Double](repeating: 0, count: choices.count)
    var byteCounts = [Int](repeating: 0, count: choices.count)
    var weights = 0
    for name in names {
      guard let tensor = trial.tensor(named: name) else { continue }
      weights += tensor.elementCount
      let feedback = trial.isCalibrated ? observer.feedback(for: name) : nil
      for (index, choice) in choices.enumerated() {
        let quantized = try trial.quantize(tensor, choice, feedback)
        changes[index] += quantized.error.squaredError
        byteCounts[index] += quantized.byteCount
        if index == 0 { replaced[ByteName(name)] = quantized.weights }
      }
    }
    let model = try VisionLanguageModel(ReplacedParameters(base: parameters, replaced: replaced), compute: compute)
    var price = 0.0
    for question in cases {
      let views = try views(model, question)
      if let router = views.router, let reference = question.views.router {
        price += Divergence(reference: reference, model: router).kl
      }
      let divergences = zip(question.views.logits, views.logits).map { Divergence(reference: $0, model: $1).kl }
      price += divergences.reduce(0, +) / Double(max(divergences.count, 1))
    }
    return Sensitivity(
      names: names, weights: weights, tried: price / Double(cases.count), choices: choices, byteCounts: byteCounts,
      changes: changes)
  }
}

/// A model's weights, some of which are others.
private struct ReplacedParameters: ParameterStore {
  let base: any ParameterStore
  let replaced: [ByteName: any LinearWeights]

  var path: String { base.path }
  var choices: ConfigurationChoices { base.choices }

  func matrix(_ name: String, rows: Int, columns: Int) throws -> any LinearWeights {
    try replaced[ByteName(name)] ?? base.matrix(name, rows: rows, columns: columns)
  }

  func embedding(_ name: String, rows: Int, columns: Int) throws -> any EmbeddingTable {
    try base.embedding(name, rows: rows, columns: columns)
  }

  func values(_ name: String, count: Int) throws -> [Float] { try base.values(name, count: count) }

  func sideFile(named name: String) throws -> Bytes? { try base.sideFile(named: name) }
}
