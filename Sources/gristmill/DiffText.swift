import GristCore
import GristVerification

/// Differences for people.
enum DiffText {
  /// Lines that are shown where not all are asked for.
  private static let lines = 20

  static func show(_ difference: ModelDifference, tolerance: Double, all: Bool, quiet: Bool) throws {
    let differing = difference.differing(beyond: tolerance)
    let listed = all ? difference.tensors : Array(differing.prefix(lines))
    if !listed.isEmpty, !quiet {
      try Console.printTable(
        heading: [
          "tensor", "shape", "first", "second", "largest", "relative error", "cosine", "worst row", "its error",
        ], listed, leftAligned: [0, 1, 2, 3]
      ) { tensor in
        let values = tensor.values
        return [
          tensor.name, shape(tensor), tensor.first?.scheme ?? "-", tensor.second?.scheme ?? "-",
          values.map { NumberText.significant($0.largest) } ?? "",
          values.map { $0.isEqual ? "equal" : NumberText.significant($0.relativeError) } ?? "",
          values.map { NumberText.significant($0.cosine, digits: 6) } ?? "",
          values?.worstRow.map { "\($0.index)" } ?? "",
          values?.worstRow.map { NumberText.significant($0.relativeError) } ?? "",
        ]
      }
      if !all, differing.count > lines {
        try Console.print("and \(differing.count - lines) more; --all lists them")
      }
    }
    try Console.print(summary(difference, differing, tolerance: tolerance))
  }

  private static func shape(_ tensor: ModelDifference.Tensor) -> String {
    func text(_ shape: [Int]) -> String { shape.map(String.init).joined(separator: "×") }
    switch (tensor.first, tensor.second) {
    case (let first?, let second?) where first.shape != second.shape:
      return text(first.shape) + " → " + text(second.shape)
    case (let first?, _): return text(first.shape)
    case (_, let second?): return text(second.shape)
    default: return ""
    }
  }

  private static func summary(
    _ difference: ModelDifference, _ differing: [ModelDifference.Tensor], tolerance: Double
  ) -> String {
    let count = difference.tensors.count
    let equal = difference.tensors.count { $0.values?.isEqual == true }
    var parts = ["\(equal) of \(count) tensors are equal, value for value"]
    if tolerance > 0 {
      parts.append("\(count - differing.count) within a relative error of \(NumberText.significant(tolerance))")
    }
    let onlyFirst = difference.tensors.count { $0.second == nil }
    let onlySecond = difference.tensors.count { $0.first == nil }
    let shapes = difference.tensors.count { $0.first != nil && $0.second != nil && $0.values == nil }
    if onlyFirst > 0 { parts.append("\(onlyFirst) only in the first") }
    if onlySecond > 0 { parts.append("\(onlySecond) only in the second") }
    if shapes > 0 { parts.append("\(shapes) of another shape") }
    return parts.joined(separator: "; ")
  }

  static func show(_ difference: RecordDifference, all: Bool, quiet: Bool) throws {
    let differing = difference.differing
    let listed = all ? difference.cases : Array(differing.prefix(lines))
    if !listed.isEmpty, !quiet {
      try Console.printTable(
        heading: ["picture", "question", "first", "second", "tokens alike", "largest logit", "KL mean"], listed,
        leftAligned: [0, 1]
      ) { item in
        [
          item.question.image ?? "-", Format.shortened(item.question.prompt), choice(item.first), choice(item.second),
          item.first != nil && item.second != nil
            ? "\(item.sharedTokens)/\(max(item.first?.tokens.count ?? 0, item.second?.tokens.count ?? 0))" : "",
          NumberText.significant(item.largestLogitDifference), NumberText.significant(item.meanDivergence, digits: 2),
        ]
      }
      if !all, differing.count > lines {
        try Console.print("and \(differing.count - lines) more; --all lists them")
      }
    }
    try Console.print(
      "\(difference.cases.count - differing.count) of \(difference.cases.count) answers are alike; "
        + (difference.haveSameFingerprint ? "both are of the same weights" : "they are of different weights"))
  }

  /// What an answer was made with; a dash where it was not asked for.
  private static func choice(_ item: ReferenceRecord.Case?) -> String {
    guard let item else { return "not asked" }
    return item.granularity.map { "\($0)" } ?? "-"
  }
}
