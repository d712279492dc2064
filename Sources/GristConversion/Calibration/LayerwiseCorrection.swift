import GristCore
import GristKernels
import GristModel
import GristSources

/// Corrects among all columns of the language model's matrices, each by what the matrices before it, quantized already,
/// give it: the whole of GPTQ (Frantar et al. 2022). Tower, projector and router, whose inputs no matrix of the
/// language model changes, are corrected inside blocks.
///
/// A layer goes through in three steps: the rows that enter it stop before each group of matrices that share an input;
/// moments of that input give the feedback that those matrices are quantized with; their codes multiply it, and the
/// rows go on.
///
/// Holds the rows of all prompts on their way through the decoder and, for the matrices that are quantized just now,
/// the moments of their inputs: 4 · columns² bytes.
package final class LayerwiseCorrection: ErrorCorrection {
  package let matrices: Set<ByteName>
  package let summary: String
  /// What should be known about it.
  package let notes: [String]
  private let before: InputStatistics
  private let parameters: any ParameterStore
  private let walk: DecoderWalk
  private let progress: ResumeFolder?
  /// Of the layer that the walk is in, what its matrices became.
  private var kept: [String: FinishedMatrix] = [:]
  /// Of the last finished layer that was asked for.
  private var earlier: (layer: Int, matrices: [String: FinishedMatrix])?
  /// Layers of matrices that an earlier conversion finished.
  private let finishedLayers: [String: Int]
  /// Names of matrices that the walk has not passed.
  private var ahead: Set<String>
  /// Those behind which others come: all but the head.
  private let inLayers: Set<String>
  private var current: (names: [String], feedback: ErrorFeedback?)?

  /// Most rows of prompts and answers that are held.
  package static let rowLimit = 16_384

  /// Prepares the samples: runs tower, projector and router, and lets the model answer where a sample brings no answer.
  ///
  /// - Parameters:
  ///   - calibration: the samples.
  ///   - source: the model.
  ///   - pool: computes.
  ///   - progress: where it is kept what was done, and found what an earlier one did; nil keeps nothing.
  ///
  /// - Throws: What running the model throws, 64 when there is no sample, 74 when progress cannot be kept.
  package init(
    _ calibration: Calibration, _ source: Source, pool: ThreadPool, progress: ResumeFolder? = nil
  ) throws {
    let compute = Compute(pool: pool, activations: .int8)
    let observer = InputObserver()
    let prompts = try CalibrationPrompts(calibration.samples, source, observer: observer, pool: pool)
    parameters = prompts.parameters
    self.progress = progress
    if let begun = try progress?.begun(), let rows = try progress?.rows(), let progress {
      summary = begun.summary
      notes = begun.notes + ["going on after layer \(progress.layers - 1), which \(progress.folder) holds"]
      before = try InputStatistics(begun.statistics, path: progress.folder)
      walk = try prompts.walk(rows, lengths: begun.lengths, layer: progress.layers, compute)
    } else {
      let batch = try prompts.next(rows: Self.rowLimit)
      guard !batch.isEmpty else { throw GristError(.usage, "there is nothing to calibrate with") }
      let lengths = batch.map(\.sequenceLength)
      let tokens = lengths.reduce(0, +)
      summary = "full: \(calibration.name), \(tokens) tokens"
      notes =
        prompts.left == 0
        ? []
        : [
          "full calibration holds at most \(Self.rowLimit) rows: the last \(prompts.left) of "
            + "\(calibration.samples.count) samples were left out"
        ]
      before = InputStatistics(
        // Whose they are the progress's key says: a fingerprint would read all weights once more.
        fingerprint: "", text: calibration.name, tokens: tokens, observer: observer, runs: 0..<MomentTree.leaves)
      walk = try prompts.walk(batch, compute)
      try progress?.begin(
        .init(summary: summary, notes: notes, lengths: lengths, statistics: before.encoded()))
    }
    let walk = walk
    let finished = (0..<walk.layer).flatMap { layer in walk.matrices(ofLayer: layer).map { ($0.name, layer) } }
    let all = walk.allMatrices
    inLayers = Set((0..<walk.layers).flatMap { walk.matrices(ofLayer: $0).map(\.name) })
    finishedLayers = Dictionary(finished, uniquingKeysWith: { first, _ in first })
    ahead = Set(all.map(\.name)).subtracting(finished.map(\.0))
    matrices = before.matrices.union(
      all.filter { InputCovariance.fits(columns: $0.columns) }.map { ByteName($0.name) })
  }

  package func quantize(
    _ name: String, takesFeedback: Bool, _ write: (QuantizationStep) throws -> FinishedMatrix?
  ) throws {
    if let finished = try finished(name) {
      _ = try write(.copy(finished))
    } else if !ahead.contains(name) {
      _ = try write(.encode(takesFeedback ? before.feedback(for: name) : nil, returnsCodes: false))
    } else {
      let isInLayer = inLayers.contains(name)
      let feedback = takesFeedback ? try feedbackAhead(for: name) : nil
      let codes = try write(.encode(feedback, returnsCodes: isInLayer))
      if isInLayer, let codes { try keep(name, codes) }
    }
  }

  /// Walks to where a matrix meets its input, and makes the feedback of that.
  private func feedbackAhead(for name: String) throws -> ErrorFeedback? {
    while !walk.matrices.contains(where: { $0.name == name }) { try advance() }
    let names = walk.matrices.map(\.name)
    if let current, current.names == names { return current.feedback }
    guard let covariance = try InputCovariance(columns: walk.input().columns, walk.compute) else { return nil }
    // The one before goes before the next takes as much.
    current = nil
    covariance.add(try walk.input())
    let feedback = covariance.feedback()
    current = (names, feedback)
    return feedback
  }

  private func keep(_ name: String, _ matrix: FinishedMatrix) throws {
    kept[name] = matrix
    // A layer that is whole is left at once, so that it counts as done.
    let layer = walk.matrices(ofLayer: walk.layer).map(\.name)
    guard progress != nil, layer.last == name, layer.allSatisfy({ kept[$0] != nil }) else { return }
    let number = walk.layer
    while walk.layer == number { try advance() }
  }

  /// What an earlier conversion that was stopped made of a matrix; nil where it did not come so far.
  private func finished(_ name: String) throws -> FinishedMatrix? {
    guard let layer = finishedLayers[name] else { return nil }
    if let earlier, earlier.layer == layer { return earlier.matrices[name] }
    let matrices = try progress?.matrices(ofLayer: layer) ?? [:]
    earlier = (layer, matrices)
    return matrices[name]
  }

  package func conclude() { progress?.remove() }

  private func advance() throws {
    current = nil
    let matrices = walk.matrices
    let layer = walk.layer
    try walk.advance(matrices.map { try kept[$0.name]?.weights ?? parameters.matrix($0) })
    for matrix in matrices {
      ahead.remove(matrix.name)
      parameters.release(matrix.name)
    }
    guard walk.layer > layer else { return }
    let done = walk.matrices(ofLayer: layer).map(\.name)
    // Without all of them a layer could not be given back.
    if let progress, progress.layers == layer, done.allSatisfy({ kept[$0] != nil }) {
      try progress.finish(kept.filter { done.contains($0.key) }, rows: walk.rows)
    }
    for name in done { kept[name] = nil }
  }
}
