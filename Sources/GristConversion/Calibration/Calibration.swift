import GristCore
import GristFormat
import GristImaging
import GristKernels
import GristModel
import GristSources

/// Samples that a model is run on, to gather statistics of what its matrices meet.
public struct Calibration: Sendable {
  /// Something to feed through the model.
  public struct Sample: Sendable {
    /// Without an answer the model answers for itself.
    public let question: Question
    /// Most of the finest grid's tokens that its picture may take; 1 leaves it to the router.
    public let shareOfTokens: Double

    public init(_ question: Question, shareOfTokens: Double = 1) {
      self.question = question
      self.shareOfTokens = shareOfTokens
    }

    /// A question about a picture's file, or about none.
    public init(picture: Bytes? = nil, question: String, answer: String? = nil, shareOfTokens: Double = 1) {
      let pictures = picture.map { [Question.Picture(name: "a picture to calibrate with", bytes: $0)] } ?? []
      self.init(Question(pictures: pictures, prompt: question, answer: answer), shareOfTokens: shareOfTokens)
    }

    /// What its digest is made of.
    fileprivate var digested: JSONValue {
      let answer = question.answer.map { JSONValue($0) } ?? .null
      let pictures = question.pictures.map { JSONValue(sha256($0.bytes)) }
      guard !question.isPlain else {
        return [JSONValue(question.prompt), answer, pictures.first ?? .null, JSONValue(shareOfTokens)]
      }
      let (system, turns) = question.turns
      return [system, turns, answer, .array(pictures), JSONValue(shareOfTokens)]
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

  /// Names of the matrices whose inputs the samples will show, of a model that expects `tensors`: those whose columns
  /// come in blocks, of tower, projector and router only where a sample has a picture.
  package func matrices(of tensors: [ExpectedTensor]) -> Set<ByteName> {
    let seesPictures = samples.contains { !$0.question.pictures.isEmpty }
    let names = tensors.filter { tensor in
      guard tensor.kind == .linear, let columns = matrixExtents(tensor.shape)?.columns, columns % Rotation.block == 0
      else {
        return false
      }
      return switch tensor.part {
      case .visionEmbeddings, .visionLayer, .projector, .router: seesPictures
      case .languageLayer, .head: true
      case .tokenEmbeddings, .unused: false
      }
    }
    return Set(names.map { ByteName($0.name) })
  }

  /// SHA-256 of all that the samples say and show, 64 hexadecimal digits.
  public var digest: String {
    sha256(Bytes(Array(JSONValue.array(samples.map(\.digested)).text().utf8)))
  }

  /// Rows of prompts and answers that go through the decoder together.
  package static let rowsTogether = 8192

  /// Gathers the statistics of a checkpoint's matrices. `progress` hears the fraction done. Statistics that are not
  /// `kept` beyond this conversion need not name their weights, which would read all of them once more.
  ///
  /// The decoder is run layer by layer, over up to 8192 rows at a time, and gives each layer's pages back: beside the
  /// moments (256 bytes a column of every input) stand one layer's weights and those rows. Within a budget the weights
  /// stream, and as many rows go together as have room.
  ///
  /// Moments are summed over a fixed tree of the samples, so that parts that were gathered apart and joined
  /// (``InputStatistics/merged(_:)``) are the same to the last bit.
  ///
  /// - Parameters:
  ///   - source: the checkpoint.
  ///   - pool: computes.
  ///   - memory: how it is run within a budget; nil without one.
  ///   - part: gathers this part of the samples alone.
  ///   - kept: whether the statistics are kept beyond this conversion.
  ///   - progress: hears the fraction done.
  ///
  /// - Throws: What running the model throws, 64 for more than 16 parts, and 130 when interrupted.
  public func gather(
    _ source: Source, pool: ThreadPool, memory: CalibrationMemory? = nil, part: QuestionPart? = nil, kept: Bool = true,
    progress: (Double) throws -> Void = { _ in }
  ) throws -> InputStatistics {
    if let part, part.count > MomentTree.leaves {
      throw GristError(
        .usage, "statistics can be gathered in \(MomentTree.leaves) parts at most", found: "\(part)",
        advice: "sums over more parts would not be the same to the last bit")
    }
    let runs = part?.range(of: MomentTree.leaves) ?? 0..<MomentTree.leaves
    let observer = InputObserver(firstRun: runs.lowerBound)
    let prompts = try CalibrationPrompts(
      samples, runs: runs, source, observer: observer, plan: memory?.plan, pool: pool)
    let compute = Compute(pool: pool, activations: .f32)
    var tokens = 0
    while case let batch = try prompts.next(rows: memory?.rowsTogether ?? Self.rowsTogether), !batch.isEmpty {
      tokens += batch.reduce(0) { $0 + $1.sequenceLength }
      let walk = try prompts.walk(batch, compute)
      while true {
        try progress(prompts.fraction(done: Double(walk.layer) / Double(walk.layers), of: batch.count))
        let matrices = walk.matrices
        let (names, input) = (matrices.map(\.name), try walk.input())
        // Each sample by itself, whatever goes through together.
        var row = 0
        for prompt in batch {
          observer.run = prompt.run
          observer.observe(names, input.copy(rows: row..<row + prompt.sequenceLength), compute)
          row += prompt.sequenceLength
        }
        if walk.isAtHead { break }
        try walk.advance(matrices.map(prompts.parameters.matrix))
        for matrix in matrices { prompts.parameters.release(matrix.name) }
      }
    }
    return InputStatistics(
      fingerprint: kept ? try source.fingerprint() : "", text: name, tokens: tokens, observer: observer,
      runs: runs, part: part.map { InputStatistics.Part(part: $0, samples: digest) })
  }
}
