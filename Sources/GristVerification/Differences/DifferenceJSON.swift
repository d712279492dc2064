import GristCore

extension ModelDifference {
  /// The difference as the command's contract describes it.
  public func json(tolerance: Double = 0) -> JSONValue {
    [
      "equal": JSONValue(differing().isEmpty), "within_tolerance": JSONValue(differing(beyond: tolerance).isEmpty),
      "tolerance": JSONValue(tolerance), "tensors": .array(tensors.map(\.json)),
    ]
  }
}

extension ModelDifference.Tensor {
  fileprivate var json: JSONValue {
    [
      "name": JSONValue(name), "first": first.map(\.json) ?? .null, "second": second.map(\.json) ?? .null,
      "equal": JSONValue(values?.isEqual == true), "largest": values.map { JSONValue($0.largest) } ?? .null,
      "relative_error": values.map { JSONValue($0.relativeError) } ?? .null,
      "cosine": values.map { JSONValue($0.cosine) } ?? .null,
      "worst_row": values?.worstRow.map {
        ["row": JSONValue($0.index), "relative_error": JSONValue($0.relativeError)]
      } ?? .null,
    ]
  }
}

extension ModelDifference.Stored {
  fileprivate var json: JSONValue { ["shape": JSONValue(shape), "scheme": JSONValue(scheme)] }
}

extension RecordDifference {
  /// The difference as the command's contract describes it.
  public var json: JSONValue {
    [
      "equal": JSONValue(differing.isEmpty), "same_weights": JSONValue(haveSameFingerprint),
      "cases": .array(cases.map(\.json)),
    ]
  }
}

extension RecordDifference.Case {
  fileprivate var json: JSONValue {
    func side(_ item: ReferenceRecord.Case?) -> JSONValue {
      item.map {
        ["granularity": $0.granularity.map(\.json) ?? .null, "tokens": JSONValue($0.tokens)]
      } ?? .null
    }
    return [
      "image": question.image.map { JSONValue($0) } ?? .null, "prompt": JSONValue(question.prompt),
      "equal": JSONValue(isAlike), "first": side(first), "second": side(second),
      "shared_tokens": JSONValue(sharedTokens), "max_abs_logit_difference": JSONValue(largestLogitDifference),
      "kl_mean": JSONValue(meanDivergence),
    ]
  }
}
