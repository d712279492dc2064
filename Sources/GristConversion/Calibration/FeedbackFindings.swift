import GristCore
import GristKernels

/// What was odd about the moments that error feedback used, gathered over a conversion: a calibration whose text leaves
/// parts of a model untouched, or breaks it, should not pass for a whole one.
package struct FeedbackFindings: Sendable {
  /// Matrices whose moments were all zero, or not finite.
  private var silent: [String] = []
  /// Blocks of 64 inputs that were always zero, and in how many matrices.
  private var emptyBlocks = (count: 0, matrices: 0)
  /// Directions whose moments contradicted the others', and in how many matrices.
  private var raisedPivots = (count: 0, matrices: 0)

  package init() {}

  /// Takes in what a matrix whose inputs are known got; nil stands for moments that no feedback could be made of.
  package mutating func add(_ name: String, _ feedback: ErrorFeedback?) {
    guard let feedback else { return silent.append(name) }
    if feedback.emptyBlocks > 0 { emptyBlocks = (emptyBlocks.count + feedback.emptyBlocks, emptyBlocks.matrices + 1) }
    if feedback.raisedPivots > 0 {
      raisedPivots = (raisedPivots.count + feedback.raisedPivots, raisedPivots.matrices + 1)
    }
  }

  /// A sentence for each kind that was found.
  package var notes: [String] {
    var notes: [String] = []
    if let first = silent.first {
      let others = silent.count == 1 ? "" : " and \(silent.count - 1) more"
      notes.append(
        "the inputs of \(first)\(others) were always zero or not finite while calibrating: rounded to nearest")
    }
    if emptyBlocks.count > 0 {
      notes.append(
        "while calibrating, \(Self.counted(emptyBlocks.count, "block")) of 64 inputs in "
          + "\(Self.counted(emptyBlocks.matrices, "matrix", "matrices")) stayed zero: weights there are rounded each for itself"
      )
    }
    if raisedPivots.count > 0 {
      notes.append(
        "the moments of \(Self.counted(raisedPivots.count, "direction")) in "
          + "\(Self.counted(raisedPivots.matrices, "matrix", "matrices")) contradict the others': such directions count as "
          + "little as those that no input had")
    }
    return notes
  }

  private static func counted(_ count: Int, _ one: String, _ many: String? = nil) -> String {
    count == 1 ? "1 \(one)" : "\(count) \(many ?? one + "s")"
  }
}
