import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources

/// How a checkpoint is calibrated within a budget of memory: every matrix streams, and as many rows go through the
/// decoder together as have room.
public struct CalibrationMemory: Sendable, Equatable {
  public let plan: MemoryPlan
  /// Rows of prompts and answers that go through the decoder together.
  public let rowsTogether: Int
  /// What the moments of all inputs take, bytes.
  public let momentBytes: Int
  /// The most that is in use at any time, and the smallest budget.
  public let peakBytes: Int
  public let leastBudget: Int

  /// - Parameters:
  ///   - needs: what the model takes.
  ///   - request: the longest of the samples.
  ///   - momentBytes: what the moments of all inputs take.
  ///   - budget: bytes.
  ///
  /// - Throws: 64 with the smallest budget that works.
  package init(_ needs: MemoryNeeds, _ request: MemoryRequest, momentBytes: Int, budget: Int) throws {
    let plan = MemoryPlan(needs, request, pinnedLayers: 0, pinsHead: false)
    // Prompts, the rows of all of them as they enter, are normalized, multiplied and leave, and what the gates give.
    let rowBytes = (6 * needs.width + needs.innerWidth) * MemoryLayout<Float>.size
    func peak(_ rows: Int) -> Int { plan.peakBytes + momentBytes + rows * rowBytes }
    let least = peak(request.rows)
    guard least <= budget else {
      throw GristError(
        .usage, "the memory budget is too small: calibrating takes at least \(NumberText.mebibytes(least))",
        found: NumberText.mebibytes(budget), advice: "give that much, or gather the statistics on a larger machine")
    }
    var rows = Calibration.rowsTogether
    while rows > request.rows, peak(rows) > budget { rows /= 2 }
    self.plan = plan
    self.momentBytes = momentBytes
    rowsTogether = max(rows, request.rows)
    peakBytes = peak(rowsTogether)
    leastBudget = least
  }
}

extension Calibration {
  /// How a source is calibrated within a budget.
  ///
  /// - Throws: 64 with the smallest budget that works when this one is too small, and what opening the source throws.
  public func memory(_ source: Source, budget: MemoryBudget, compute: Compute) throws -> CalibrationMemory {
    let model = try source.model(compute: compute)
    let format = CalibrationFormat(model.configuration)
    let prompts = try samples.map { sample in
      let tiles = try sample.question.pictures.map {
        try model.tiles(of: model.picture(encoded: $0.bytes, name: $0.name))
      }
      return try model.extent(
        of: sample.question.conversation(clock: CalibrationFormat.clock), tiles: tiles, format: format.format)
    }
    let answers = try samples.map {
      try $0.question.answer.map { try model.tokenizer.encode($0).count } ?? Self.answerTokens
    }
    let requests = model.memoryRequests(prompts, newTokens: answers.max() ?? 0)
    guard let longest = requests.first else { throw GristError(.usage, "there is nothing to calibrate with") }
    var request = longest
    request.sequences = 1
    // Counted for each matrix, though some share an input: the statistics are encoded beside the moments.
    let matrices = matrices(of: try source.configuration().expectedTensors)
    let columns = try source.configuration().expectedTensors.reduce(0) { sum, tensor in
      matrices.contains(ByteName(tensor.name)) ? sum + (matrixExtents(tensor.shape)?.columns ?? 0) : sum
    }
    return try locating(file: source.path) {
      try CalibrationMemory(
        model.memoryNeeds(), request, momentBytes: columns * BlockMoments.bytesPerColumn, budget: budget.byteCount())
    }
  }
}
