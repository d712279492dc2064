import ArgumentParser
import GristConversion
import GristCore
import GristModel

/// Options of commands that run a model within a budget of memory.
struct MemoryOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Memory to keep to: weights that do not fit are read from the disk again for every token. auto is what the machine "
        + "and the process's control groups leave.", discussion: "Default: none; a raw file is mapped.",
      valueName: "size|auto"))
  var memoryBudget: BudgetOption?

  @Flag(help: "With --memory-budget: say what would stay in memory and what would stream, and read no weights.")
  var dryRun = false

  func validate() throws {
    if dryRun, memoryBudget == nil { throw ValidationError("--dry-run goes with --memory-budget") }
  }

  /// How a model is run within the budget; nil where there is none.
  ///
  /// - Throws: 64 with the smallest budget that works when this one is too small.
  func plan(_ model: VisionLanguageModel, _ requests: () throws -> [MemoryRequest]) throws -> MemoryPlan? {
    guard let memoryBudget else { return nil }
    return try locating(file: model.path) {
      try MemoryPlan(model.memoryNeeds(), requests(), budget: memoryBudget.budget.byteCount())
    }
  }
}

struct BudgetOption: ExpressibleByArgument {
  let budget: MemoryBudget

  init?(argument: String) {
    guard let budget = MemoryBudget(argument) else { return nil }
    self.budget = budget
  }
}

extension Console {
  /// Prints a plan as it was asked for.
  static func print(_ plan: MemoryPlan, _ global: GlobalOptions) throws {
    if global.json {
      try print(plan.json)
    } else {
      try print(plan.lines.joined(separator: "\n"))
    }
  }

  /// Prints how a checkpoint is calibrated within a budget.
  static func print(_ memory: CalibrationMemory, _ global: GlobalOptions) throws {
    guard global.json else { return try print(memory.line) }
    try print([
      "peak_bytes": JSONValue(memory.peakBytes), "least_budget": JSONValue(memory.leastBudget),
      "rows_together": JSONValue(memory.rowsTogether), "moment_bytes": JSONValue(memory.momentBytes),
      "streamed_bytes_a_pass": JSONValue(memory.plan.streamedBytes), "ring_bytes": JSONValue(memory.plan.ringBytes),
    ])
  }
}

extension CalibrationMemory {
  /// For people.
  var line: String {
    "\(NumberText.mebibytes(peakBytes)) at most, \(NumberText.mebibytes(leastBudget)) at least: \(rowsTogether) rows go "
      + "through together, all weights stream, statistics take \(NumberText.mebibytes(momentBytes))"
  }
}

extension MemoryPlan {
  /// For people, a line a fact.
  var lines: [String] {
    func size(_ bytes: Int) -> String { NumberText.mebibytes(bytes) }
    let head = pinsHead ? " and the head" : ""
    var lines = ["within \(size(budget)): \(size(peakBytes)) at most, \(size(leastBudget)) at least"]
    lines.append(
      streams
        ? "\(pinnedLayers) of \(layers) layers\(head) stay (\(size(pinnedBytes))), the rest streams: "
          + "\(size(streamedBytes)) of the file each pass, through \(size(ringBytes))"
        : "all \(layers) layers\(head) stay (\(size(pinnedBytes))), nothing streams")
    lines.append(
      "keys and values of \(rows) rows take \(size(cacheBytes)), intermediate results \(size(scratchBytes))"
        + (sequences > 1 ? "; \(sequences) questions go through together" : ""))
    if keepsVision { lines.append("tower, projector and router stay") }
    return lines
  }

  var json: JSONValue {
    [
      "budget": JSONValue(budget), "peak_bytes": JSONValue(peakBytes), "least_budget": JSONValue(leastBudget),
      "layers": JSONValue(layers), "pinned_layers": JSONValue(pinnedLayers), "pins_head": .bool(pinsHead),
      "pinned_bytes": JSONValue(pinnedBytes), "ring_bytes": JSONValue(ringBytes),
      "streamed_bytes_a_pass": JSONValue(streamedBytes), "rows": JSONValue(rows), "cache_bytes": JSONValue(cacheBytes),
      "scratch_bytes": JSONValue(scratchBytes), "keeps_vision": .bool(keepsVision), "sequences": JSONValue(sequences),
    ]
  }
}
