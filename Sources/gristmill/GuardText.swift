import GristConversion
import GristCore

extension GuardedChoices {
  /// For people.
  var lines: [String] {
    let before =
      "guarded by \(questions) questions: the recipe's own model changes \(changedBefore) choices, \(flippedBefore) beyond ties"
    guard !raised.isEmpty else { return [before] }
    let what = raised.map {
      "\($0.part) in \($0.scheme) (\($0.matrices) \($0.matrices == 1 ? "matrix" : "matrices"), \(NumberText.bytes($0.bytes)))"
    }
    return [
      before,
      "with more of \(raised.count) parts, for \(NumberText.bytes(bytes)): \(changedAfter) choices change, \(flippedAfter) "
        + "beyond ties, after \(trials) trials",
    ] + what.map { "  " + $0 }
  }

  var json: JSONValue {
    [
      "questions": JSONValue(questions), "changed_before": JSONValue(changedBefore),
      "flipped_before": JSONValue(flippedBefore), "changed_after": JSONValue(changedAfter),
      "flipped_after": JSONValue(flippedAfter), "bytes": JSONValue(bytes), "trials": JSONValue(trials),
      "raised": .array(
        raised.map {
          [
            "part": JSONValue($0.part), "scheme": JSONValue($0.scheme), "matrices": JSONValue($0.matrices),
            "bytes": JSONValue($0.bytes),
          ]
        }),
    ]
  }
}
