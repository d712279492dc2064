import GristCalibration
import GristCore
import GristFormat
import GristModel
import GristQuantization

/// A budget of bits for the matrices of the language model that a recipe would store in 4: which they are, what they may
/// become, and who gets more.
public struct BitAllotment: Sendable {
  public let targetBits: Double
  /// The schemes that are to be had, the fewest bits first.
  public let choices: [StorageChoice]

  public init(targetBits: Double, groupSize: Int) {
    self.targetBits = targetBits
    choices =
      [.grouped(bits: 4, groupSize: groupSize)]
      + (groupSize > 32 ? [.grouped(bits: 4, groupSize: 32)] : []) + [.grouped(bits: 8, groupSize: groupSize)]
  }

  /// Names of the matrices that the budget is for: those of the language model's layers that a plan has in a table's 4 bits,
  /// and no override decides.
  ///
  /// - Throws: 64 when there is none, or when the budget is less than the fewest bits or more than the most: before anything
  ///   is measured.
  public func matrices(of plan: ConversionPlan, overrides: [StorageOverride]) throws -> Set<ByteName> {
    let entries = plan.entries.filter { entry in
      guard case .grouped(let grouped) = entry.scheme, grouped.bits == 4, grouped.layout == .tile16 else {
        return false
      }
      return !overrides.contains { $0.applies(to: entry.tensor.name) }
    }
    guard !entries.isEmpty else {
      throw GristError(
        .usage, "--target-bits has nothing to spend on: no matrix of the language model becomes int4",
        advice: "leave it out, or choose the recipe int4")
    }
    let shapes = entries.map(\.tensor.shape)
    try requireBudget(
      weights: shapes.reduce(0) { $0 + $1.reduce(1, *) }, least: bytes(of: shapes, as: choices.first),
      most: bytes(of: shapes, as: choices.last))
    return Set(entries.map { ByteName($0.tensor.name) })
  }

  private func bytes(of shapes: [[Int]], as choice: StorageChoice?) -> Int {
    shapes.compactMap { shape -> Int? in
      guard let columns = matrixExtents(shape)?.columns,
        let scheme = choice?.tiles(columns: columns, isCalibrated: false)
      else { return nil }
      return PayloadUnits(scheme: scheme, shape: shape)?.payloadBytes
    }.reduce(0, +)
  }

  private func requireBudget(weights: Int, least: Int, most: Int) throws {
    let bounds = [least, most].map { 8 * Double($0) / Double(max(weights, 1)) }
    guard targetBits.isFinite, targetBits >= bounds[0], targetBits <= bounds[1] else {
      throw GristError(
        .usage, "--target-bits must be from \(Self.text(bounds[0])) to \(Self.text(bounds[1])) for these matrices",
        found: "\(targetBits)")
    }
  }

  /// Spends the budget so that what was measured costs least altogether.
  ///
  /// - Throws: 64 when it is less than the fewest bits or more than the most.
  public func spend(_ matrices: [MatrixSensitivity]) throws -> [ByteName: Recipe.Allotment] {
    let weights = matrices.reduce(0) { $0 + $1.shape.reduce(1, *) }
    try requireBudget(
      weights: weights, least: matrices.reduce(0) { $0 + ($1.offers.map(\.byteCount).min() ?? 0) },
      most: matrices.reduce(0) { $0 + ($1.offers.map(\.byteCount).max() ?? 0) })
    guard let taken = BitAllocation.cheapest(matrices.map(\.offers), budget: Int(targetBits * Double(weights) / 8))
    else {
      throw GristError(.usage, "--target-bits is less than these matrices need", found: "\(targetBits)")
    }
    var allotments: [ByteName: Recipe.Allotment] = [:]
    for (matrix, index) in zip(matrices, taken) {
      let prices = matrix.offers.map { "\($0.choice) \(Self.text($0.price))" }.joined(separator: ", ")
      allotments[ByteName(matrix.name)] = Recipe.Allotment(
        choice: matrix.offers[index].choice, reason: "--target-bits: divergence of \(prices)")
    }
    return allotments
  }

  /// Three digits that count.
  private static func text(_ value: Double) -> String {
    guard value > 0 else { return "0" }
    var (scaled, exponent) = (value, 0)
    while scaled < 1 { (scaled, exponent) = (scaled * 10, exponent - 1) }
    let rounded = (scaled * 100).rounded() / 100
    return exponent > -3 ? "\((value * 1000).rounded() / 1000)" : "\(rounded)e\(exponent)"
  }
}
