import GristCore
import GristVerification

extension EvaluationReport {
  /// All figures; shares and differences as fractions.
  public var json: JSONValue {
    [
      "model": model.json, "arithmetic": JSONValue(arithmetic), "questions": JSONValue(questions.count),
      "asked": JSONValue(results.count), "score": score.map { JSONValue($0.rawValue) } ?? .null,
      "reference": reference.map { JSONValue($0.name) } ?? .null, "rows": .array(rows.map(\.json)),
      "choices": .array(
        choices.map { item -> JSONValue in
          var counts = JSONObject()
          for (grid, count) in item.counts.sorted(by: { $0.key < $1.key }) { counts["\(grid)"] = JSONValue(count) }
          return ["category": item.category.map { JSONValue($0) } ?? .null, "counts": .object(counts)]
        }),
      "stop": stopWithin.map { within in
        [
          "within": JSONValue(within), "interval": interval.map(Self.json) ?? .null,
          "decided": .bool(results.count < questions.count),
        ]
      } ?? .null,
    ]
  }

  fileprivate static func json(_ interval: ClosedRange<Double>) -> JSONValue {
    [JSONValue(interval.lowerBound), JSONValue(interval.upperBound)]
  }
}

extension EvaluationReport.Share {
  fileprivate var json: JSONValue {
    ["mean": JSONValue(mean), "standard_error": JSONValue(standardError), "count": JSONValue(count)]
  }
}

extension EvaluationReport.Row {
  fileprivate var json: JSONValue {
    var object: JSONObject = [
      "granularity": JSONValue(granularity.name), "right": right?.json ?? .null,
      "visual_tokens": JSONValue(visualTokens), "reduction": reduction.map { JSONValue($0) } ?? .null,
      "seconds": JSONValue(seconds), "speed_up": speedUp.map { JSONValue($0) } ?? .null,
      "categories": .array(
        categories.map {
          [
            "name": JSONValue($0.name), "right": $0.right?.json ?? .null, "visual_tokens": JSONValue($0.visualTokens),
          ]
        }),
    ]
    if let yesNo {
      object["yes_no"] = [
        "precision": JSONValue(yesNo.precision), "recall": JSONValue(yesNo.recall), "f1": JSONValue(yesNo.f1),
        "yes_ratio": JSONValue(yesNo.yesRatio),
      ]
    }
    if let pairs {
      object["mme"] = [
        "score": JSONValue(pairs.score), "accuracy_plus": JSONValue(pairs.accuracyPlus),
        "categories": .array(
          pairs.categories.map {
            [
              "name": $0.name.map { JSONValue($0) } ?? .null, "pictures": JSONValue($0.pictures),
              "accuracy": JSONValue($0.accuracy), "accuracy_plus": JSONValue($0.accuracyPlus),
              "score": JSONValue($0.score),
            ]
          }),
      ]
    }
    if let sameAnswers { object["same_answers"] = JSONValue(sameAnswers) }
    if let comparison {
      object["against_reference"] = [
        "both": JSONValue(comparison.both), "neither": JSONValue(comparison.neither),
        "model_only": JSONValue(comparison.firstOnly), "reference_only": JSONValue(comparison.secondOnly),
        "difference": JSONValue(comparison.difference),
        "interval": EvaluationReport.json(comparison.interval), "mcnemar_p": JSONValue(comparison.pValue),
      ]
    }
    return .object(object)
  }
}
