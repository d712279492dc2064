import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources

/// What storing matrices in fewer bits does to the model's answers.
package struct Sensitivity: Sendable {
  /// Names of matrices that are stored alike: one of the language model's, or all of a part of tower, projector or
  /// router.
  package let names: [String]
  /// Weights in all of them.
  package let weights: Int
  /// In the order in which schemes were asked about.
  package let offers: [BitAllocation.Offer]

  /// What the scheme that was tried, the first, did, and what follows for the others from their squared changes:
  /// divergence grows with the square of a small change.
  init(names: [String], weights: Int, tried: Double, schemes: [RequestedScheme], byteCounts: [Int], changes: [Double]) {
    self.names = names
    self.weights = weights
    offers = schemes.indices.map { index in
      BitAllocation.Offer(
        scheme: schemes[index], byteCount: byteCounts[index],
        price: changes[0] > 0 ? tried * changes[index] / changes[0] : 0)
    }
  }
}

/// Measures, matrix by matrix, how far the language model's distributions move when that matrix alone is quantized: KL
/// divergence in nats a token, on prompts with their answers.
///
/// The decoder is walked once, with one stream of rows for the untouched model and one more for every matrix passed,
/// which carries what that matrix's rounding did to the end. So no more than a layer's weights are in memory, beside
/// the streams (``streamBytes``). Only the scheme of the fewest bits is carried on; what the others cost follows from
/// how much less they change what the matrix gives, as divergence grows with the square of the change.
package struct SensitivityMeter {
  /// Bytes that the streams of rows may take together.
  package static let streamBytes = 768 << 20
  /// Rows beyond which nothing is learned that would change a decision.
  static let greatestRows = 512
  /// Rows whose logits are compared together.
  private static let logitRows = 64

  private let trial: TrialQuantization
  private let prompts: CalibrationPrompts
  private let compute: Compute

  /// - Parameters:
  ///   - calibration: what is asked; its first prompts serve.
  ///   - source: the model.
  ///   - isCalibrated: whether codes will be made with error feedback, and so columns be rotated: those that are tried
  ///     are made likewise.
  ///   - pool: computes.
  ///
  /// - Throws: What opening the model throws.
  package init(_ calibration: Calibration, _ source: Source, isCalibrated: Bool, pool: ThreadPool) throws {
    compute = Compute(pool: pool, activations: .f32)
    prompts = try CalibrationPrompts(calibration.samples, source, observer: InputObserver(), pool: pool)
    trial = try TrialQuantization(source, isCalibrated: isCalibrated, pool: pool)
  }

  /// A matrix on its way: what its schemes change, and the rows that its rounding reached.
  private struct Stream {
    let name: String
    let weights: Int
    let schemes: [RequestedScheme]
    let byteCounts: [Int]
    /// Squared changes of what the matrix gives, of each scheme.
    let changes: [Double]
    var rows: FloatMatrix
  }

  /// Measures the matrices of `names` that the decoder has in its layers.
  ///
  /// - Parameters:
  ///   - names: which matrices; others stay as they are throughout.
  ///   - schemes: the schemes, the fewest bits first.
  ///   - progress: hears the fraction done.
  ///
  /// - Throws: What running the model throws, 64 when there is nothing to ask, 130 when interrupted.
  package func measure(
    _ names: Set<ByteName>, schemes: [RequestedScheme], progress: (Double) throws -> Void = { _ in }
  ) throws -> [Sensitivity] {
    let width = prompts.hiddenSize
    let room = Self.streamBytes / ((names.count + 1) * width * MemoryLayout<Float>.size)
    let batch = try prompts.next(rows: max(1, min(Self.greatestRows, room)))
    guard !batch.isEmpty else { throw GristError(.usage, "there is nothing to measure with") }
    let lengths = batch.map(\.sequenceLength)
    var base = try prompts.walk(batch, compute).rows
    var streams: [Stream] = []
    let layers = prompts.layers
    for layer in 0..<layers {
      try progress(Double(layer * layer) / Double(layers * layers))
      let untouched = base.copy(rows: 0..<base.rows)
      let weights = try LayerWeights(prompts, layer: layer)
      for index in streams.indices {
        streams[index].rows = try run(streams[index].rows, lengths, layer, weights)
      }
      var tried: [(matrix: ExpectedTensor, codes: [TrialQuantization.Codes<any LinearWeights>], changes: [Double])] = []
      base = try run(base, lengths, layer, weights) { matrices, input in
        for matrix in matrices where names.contains(ByteName(matrix.name)) {
          guard let tensor = trial.tensor(named: matrix.name), let original = weights[matrix.name] else { continue }
          let feedback = feedback(input)
          let codes = try schemes.map { try trial.quantize(tensor, $0, feedback) }
          let exact = compute.linear(input, original)
          tried.append((matrix, codes, codes.map { squaredDistance(compute.linear(input, $0.weights), exact) }))
        }
      }
      for (matrix, codes, changes) in tried {
        let rows = try run(
          untouched.copy(rows: 0..<untouched.rows), lengths, layer, weights.replacing(matrix.name, by: codes[0].weights)
        )
        streams.append(
          Stream(
            name: matrix.name, weights: matrix.rows * matrix.columns, schemes: schemes,
            byteCounts: codes.map(\.byteCount), changes: changes, rows: rows))
      }
      weights.release()
    }
    // One after the other, so that the rows are not there twice.
    for index in streams.indices { streams[index].rows = try normed(streams[index].rows, lengths) }
    return try price(streams, normed(base, lengths))
  }

  /// Rows behind the last layer as they meet the head.
  private func normed(_ rows: FloatMatrix, _ lengths: [Int]) throws -> FloatMatrix {
    try prompts.walk(rows, lengths: lengths, layer: prompts.layers, compute).input()
  }

  /// Takes rows through one layer. `look` sees every group of matrices and what meets them.
  private func run(
    _ rows: FloatMatrix, _ lengths: [Int], _ layer: Int, _ weights: LayerWeights,
    look: ([ExpectedTensor], FloatMatrix) throws -> Void = { _, _ in }
  ) throws -> FloatMatrix {
    let walk = try prompts.walk(rows, lengths: lengths, layer: layer, compute)
    while walk.layer == layer {
      try look(walk.matrices, walk.input())
      try walk.advance(walk.matrices.compactMap { weights[$0.name] })
    }
    return walk.rows
  }

  /// Logits of every stream beside the untouched model's, some rows at a time.
  private func price(_ streams: [Stream], _ base: FloatMatrix) throws -> [Sensitivity] {
    var sums = [Double](repeating: 0, count: streams.count)
    let head = try prompts.head()
    for start in stride(from: 0, to: base.rows, by: Self.logitRows) {
      try Interruption.check()
      let rows = start..<min(start + Self.logitRows, base.rows)
      let reference = compute.linear(base.copy(rows: rows), head)
      for (index, stream) in streams.enumerated() {
        let logits = compute.linear(stream.rows.copy(rows: rows), head)
        sums[index] += compute.divergences(reference: reference, model: logits).reduce(0, +)
      }
    }
    return zip(streams, sums).map { stream, sum in
      Sensitivity(
        names: [stream.name], weights: stream.weights, tried: sum / Double(base.rows), schemes: stream.schemes,
        byteCounts: stream.byteCounts, changes: stream.changes)
    }
  }

  /// The error feedback of a matrix's inputs, where codes will be made with it.
  private func feedback(_ input: FloatMatrix) -> ErrorFeedback? {
    guard trial.isCalibrated, let moments = BlockMoments(columns: input.columns) else { return nil }
    moments.add(input, compute)
    return ErrorFeedback(moments: moments.values)
  }

  private func squaredDistance(_ a: FloatMatrix, _ b: FloatMatrix) -> Double {
    var sum = 0.0
    for row in 0..<a.rows {
      for (left, right) in zip(a.row(row), b.row(row)) {
        let difference = Double(left - right)
        sum += difference * difference
      }
    }
    return sum
  }
}

/// One layer's matrices by name.
private struct LayerWeights {
  private let prompts: CalibrationPrompts
  private var weights: [String: any LinearWeights]

  init(_ prompts: CalibrationPrompts, layer: Int) throws {
    self.prompts = prompts
    weights = [:]
    for matrix in prompts.matrices(ofLayer: layer) { weights[matrix.name] = try prompts.parameters.matrix(matrix) }
  }

  subscript(name: String) -> (any LinearWeights)? { weights[name] }

  func replacing(_ name: String, by other: any LinearWeights) -> LayerWeights {
    var copy = self
    copy.weights[name] = other
    return copy
  }

  func release() { for name in weights.keys { prompts.parameters.release(name) } }
}
