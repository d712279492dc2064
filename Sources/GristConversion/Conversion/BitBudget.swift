import GristCore
import GristFormat
import GristModel

/// A budget of bits for the matrices that a recipe would store in few: which they are, what they may become, and who
/// gets more.
package struct BitBudget: Sendable {
  package let targetBits: Double
  /// The schemes that are to be had, the fewest bits first.
  package let schemes: [RequestedScheme]

  package init(targetBits: Double, groupSize: Int) {
    self.targetBits = targetBits
    schemes =
      [.grouped(.int4, groupSize: groupSize)]
      + (groupSize > 32 ? [.grouped(.int4, groupSize: 32)] : []) + [.grouped(.int8, groupSize: groupSize)]
  }

  /// Names of the matrices that the budget is for: those whose bits the recipe lets a budget decide, of the language
  /// model's layers, and of tower, projector, embeddings and router where there are pictures to measure with. What an
  /// override decides and what is too small for codes keeps what it has.
  ///
  /// - Throws: 64 when there is none, or when the budget is less than the fewest bits or more than the most: before
  ///   anything is measured.
  package func matrices(of plan: ConversionPlan, recipe: Recipe, withPictures: Bool) throws -> Set<ByteName> {
    let segments = plan.segments.filter { segment in
      guard let part = segment.part, recipe.budgets(part) else { return false }
      return withPictures || !part.decidesChoices
    }
    let entries = segments.flatMap(\.entries).filter { entry in
      guard case .grouped = entry.scheme else { return false }
      return !recipe.overrides.contains { $0.applies(to: entry.tensor.name) }
    }
    guard !entries.isEmpty else {
      throw GristError(
        .usage, "--target-bits has nothing to spend on: no matrix that can be measured becomes int4",
        advice: "leave it out, or choose the recipe int4")
    }
    try requireBudget(
      weights: entries.reduce(0) { $0 + $1.tensor.elementCount },
      least: bytes(of: entries, as: schemes.first), most: bytes(of: entries, as: schemes.last))
    return Set(entries.map { ByteName($0.tensor.name) })
  }

  private func bytes(of entries: [ConversionPlan.Entry], as requested: RequestedScheme?) -> Int {
    entries.compactMap { entry -> Int? in
      let shape = entry.tensor.shape
      guard let columns = matrixExtents(shape)?.columns,
        let scheme = entry.isTable ? requested?.rows : requested?.tiles(columns: columns, isCalibrated: false)
      else { return nil }
      return PayloadUnits(scheme: scheme, shape: shape)?.payloadBytes
    }.reduce(0, +)
  }

  private func requireBudget(weights: Int, least: Int, most: Int) throws {
    let bounds = [least, most].map { 8 * Double($0) / Double(max(weights, 1)) }
    guard targetBits.isFinite, targetBits >= bounds[0], targetBits <= bounds[1] else {
      throw GristError(
        .usage,
        "--target-bits must be from \(NumberText.significant(bounds[0])) to \(NumberText.significant(bounds[1])) for these matrices",
        found: "\(targetBits)")
    }
  }

  /// Spends the budget so that what was measured costs least altogether.
  ///
  /// - Throws: 64 when it is less than the fewest bits or more than the most.
  package func spend(_ matrices: [Sensitivity]) throws -> [ByteName: Recipe.Assignment] {
    let weights = matrices.reduce(0) { $0 + $1.weights }
    try requireBudget(
      weights: weights, least: matrices.reduce(0) { $0 + ($1.offers.map(\.byteCount).min() ?? 0) },
      most: matrices.reduce(0) { $0 + ($1.offers.map(\.byteCount).max() ?? 0) })
    guard let taken = BitAllocation.cheapest(matrices.map(\.offers), budget: Int(targetBits * Double(weights) / 8))
    else {
      throw GristError(.usage, "--target-bits is less than these matrices need", found: "\(targetBits)")
    }
    var assignments: [ByteName: Recipe.Assignment] = [:]
    for (matrix, index) in zip(matrices, taken) {
      let prices = matrix.offers.map { "\($0.scheme) \(NumberText.significant($0.price))" }.joined(separator: ", ")
      let together = matrix.names.count > 1 ? " with the other \(matrix.names.count - 1) of its part" : ""
      let assignment = Recipe.Assignment(
        scheme: matrix.offers[index].scheme, reason: "--target-bits: divergence\(together) of \(prices)")
      for name in matrix.names { assignments[ByteName(name)] = assignment }
    }
    return assignments
  }
}
