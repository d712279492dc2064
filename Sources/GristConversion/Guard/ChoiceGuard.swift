import Foundation
import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources

/// Finds which parts must be stored with more bits for a router to choose as the reference does.
///
/// The recipe's model is converted and asked. Where a choice flips beyond a tie, each part in turn is taken from it, the
/// rest from the reference: how far that alone moves the margins of the questions that flipped, by what more bits of the
/// part would cost, orders the parts. So many of them, the best bargains first, get int8 that all choices hold; if all of
/// them are not enough, so many more stay as they came. With all of those the choices are the reference's by construction.
struct ChoiceGuard {
  typealias Assignments = [ByteName: Recipe.Assignment]

  private let source: Source
  private let asking: ChoiceAsking
  private let questions: Int
  /// What tensors are stored as under some assignments.
  private let plan: (Assignments) throws -> ConversionPlan
  /// Converts under some assignments to a file that is thrown away.
  private let convert: (Assignments, String) throws -> Void
  private let groupSize: Int
  private let pool: ThreadPool
  /// Holds the trials; nothing of it is left behind.
  private let folder: AtomicFolder
  private let report: (Conversion.Event) throws -> Void

  init(
    _ source: Source, _ asking: ChoiceAsking, groupSize: Int, folder: AtomicFolder, pool: ThreadPool,
    plan: @escaping (Assignments) throws -> ConversionPlan, convert: @escaping (Assignments, String) throws -> Void,
    report: @escaping (Conversion.Event) throws -> Void
  ) {
    (self.source, self.asking, self.groupSize, self.folder) = (source, asking, groupSize, folder)
    (self.plan, self.convert, self.pool, self.report) = (plan, convert, pool, report)
    questions = asking.expected.count
  }

  /// A part's matrices, and what storing them better takes.
  private struct Part {
    let part: ModelPart
    let names: [ByteName]
    /// Bytes beyond what the part takes now.
    let bytes: Int
    var price = 0.0
  }

  /// The assignments that hold the choices, and what was found on the way.
  ///
  /// - Throws: What converting and running throw.
  func guarded() throws -> (assignments: Assignments, found: GuardedChoices) {
    var trials = 0
    // A file that is read is never written again.
    var last: String { folder.temporaryPath(of: "trial-\(trials)") }
    func trial(_ assignments: Assignments) throws -> VisionLanguageModel {
      removeIfPossible(last)
      trials += 1
      try convert(assignments, last)
      return try Source.open(path: last, options: source.options).model(compute: asking.compute)
    }
    let before = try asking.changed(trial([:])) { try report(.progress($0, "asking the recipe's model")) }
    var (assignments, after) = (Assignments(), before)
    let schemes: [RequestedScheme] = [.grouped(.int8, groupSize: groupSize), .source]
    for scheme in schemes where !after.beyondTies.isEmpty {
      let flipped = after.beyondTies
      let parts = try ordered(
        raisable(to: scheme, from: assignments), flipped, by: Source.open(path: last, options: source.options))
      guard !parts.isEmpty else { continue }
      func raised(_ count: Int) -> Assignments {
        parts.prefix(count).reduce(into: assignments) { result, part in
          for name in part.names {
            result[name] = Recipe.Assignment(
              scheme: scheme, reason: "guarded choices need more of the \(part.part.title)")
          }
        }
      }
      /// Nil where a question that flipped before still does, which is asked first.
      func holds(_ count: Int) throws -> (all: [Int], beyondTies: [Int])? {
        let model = try trial(raised(count))
        let label = "asking with \(count) of \(parts.count) parts raised"
        guard try asking.changed(model, on: flipped).beyondTies.isEmpty else { return nil }
        let changed = try asking.changed(model) { try report(.progress($0, label)) }
        return changed.beyondTies.isEmpty ? changed : nil
      }
      var (least, most) = (1, parts.count)
      var best: (count: Int, changed: (all: [Int], beyondTies: [Int]))?
      if let all = try holds(most) {
        best = (most, all)
        while least < most {
          let middle = (least + most) / 2
          if let changed = try holds(middle) { (most, best) = (middle, (middle, changed)) } else { least = middle + 1 }
        }
      }
      assignments = raised(best?.count ?? parts.count)
      after = try best?.changed ?? asking.changed(trial(assignments))
    }
    return (
      assignments,
      GuardedChoices(
        questions: questions, changedBefore: before.all.count, flippedBefore: before.beyondTies.count,
        changedAfter: after.all.count, flippedAfter: after.beyondTies.count, raised: try raises(assignments),
        trials: trials)
    )
  }

  /// Parts that a choice depends on whose matrices would be stored better so.
  private func raisable(to scheme: RequestedScheme, from assignments: Assignments) throws -> [Part] {
    let segments = try plan(assignments).segments.filter { $0.part?.decidesChoices == true }
    let quantized = segments.flatMap(\.entries).filter { if case .grouped = $0.scheme { true } else { false } }
    let wanted = Dictionary(
      quantized.map { (ByteName($0.tensor.name), Recipe.Assignment(scheme: scheme, reason: "")) },
      uniquingKeysWith: { first, _ in first })
    let better = try Self.sizes(plan(assignments.merging(wanted) { $1 }))
    return segments.compactMap { segment in
      guard let part = segment.part else { return nil }
      let raised = segment.entries.filter { entry in
        wanted[ByteName(entry.tensor.name)] != nil && better[ByteName(entry.tensor.name)] ?? 0 > entry.payloadBytes
      }
      guard !raised.isEmpty else { return nil }
      let extra = raised.reduce(0) { $0 + (better[ByteName($1.tensor.name)] ?? 0) - $1.payloadBytes }
      return Part(part: part, names: raised.map { ByteName($0.tensor.name) }, bytes: extra)
    }
  }

  private static func sizes(_ plan: ConversionPlan) -> [ByteName: Int] {
    Dictionary(
      plan.entries.map { (ByteName($0.tensor.name), $0.payloadBytes) }, uniquingKeysWith: { first, _ in first })
  }

  /// The best bargains first: what a part alone does to the margins of the questions that flipped, a byte.
  private func ordered(_ parts: [Part], _ flipped: [Int], by model: Source) throws -> [Part] {
    let asked = Array(flipped.prefix(64))
    var parts = parts
    for index in parts.indices {
      try report(
        .progress(Double(index) / Double(parts.count), "measuring what each part does to \(asked.count) choices"))
      let mixed = try VisionLanguageModel(
        MixedParameters(
          reference: source.parameters(pool: pool), model: model.parameters(pool: pool), names: Set(parts[index].names),
          path: source.path),
        compute: asking.compute)
      for (question, decision) in zip(asked, try asking.decisions(mixed, on: asked)) {
        parts[index].price += Double(asking.expected[question].marginChange(in: decision))
      }
    }
    return parts.sorted { $0.price * Double($1.bytes) > $1.price * Double($0.bytes) }
  }

  private func raises(_ assignments: Assignments) throws -> [GuardedChoices.Raise] {
    let plain = try Self.sizes(plan([:]))
    return try plan(assignments).segments.compactMap { segment in
      let raised = segment.entries.filter { assignments[ByteName($0.tensor.name)] != nil }
      guard let part = segment.part, let first = raised.first else { return nil }
      return GuardedChoices.Raise(
        part: part.title, scheme: first.scheme.name, matrices: raised.count,
        bytes: raised.reduce(0) { $0 + $1.payloadBytes - (plain[ByteName($1.tensor.name)] ?? 0) })
    }
  }
}
