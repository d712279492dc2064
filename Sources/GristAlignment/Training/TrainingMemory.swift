import GristCore
import GristModel
import GristSources

/// What training a router takes beside the program itself; pictures' features and the model's file are mapped.
public struct TrainingMemory: Sendable, Equatable {
  /// Values that are trained.
  public let parameters: Int
  /// Of weights, gradients and both moments, in f32.
  public let weightBytes: Int
  /// At least: one picture at all granularities, and one pass of rows with what it leaves.
  public let leastBudget: Int
  /// Of what a step's way back needs that are kept.
  public let activationBytes: Int
  public var peakBytes: Int { leastBudget + activationBytes }

  /// Rows that go through the router together at most.
  static let blockRows = 1024
  /// Kept where nobody says how much.
  private static let usualActivationBytes = 512 << 20
  /// Memory that is kept for later results.
  private static let recycledBytes = 128 << 20

  /// - Throws: 64 with the smallest budget that works when it is too small.
  init(_ routing: GranularityRouting, _ source: Source, budget: Int?) throws {
    parameters = routing.tensors.reduce(0) { $0 + $1.count }
    weightBytes = parameters * 4 * 4
    let tiles = try source.configuration().vision?.mostTiles ?? 1
    let picture = tiles * (routing.side * routing.side + 2 * routing.granularities.reduce(0, +)) * routing.width * 4
    // A pass, and on its way back about as much again.
    let block = 2 * RouterPass.Trace.bytes(rows: max(Self.blockRows, tiles), width: routing.width)
    leastBudget = weightBytes + picture + block + Self.recycledBytes
    guard let budget else {
      activationBytes = Self.usualActivationBytes
      return
    }
    guard budget >= leastBudget else {
      throw GristError(
        .usage, "the memory for training is too small", file: source.path, found: NumberText.mebibytes(budget),
        advice: "give \(NumberText.mebibytes(leastBudget)) or more")
    }
    activationBytes = budget - leastBudget
  }
}
