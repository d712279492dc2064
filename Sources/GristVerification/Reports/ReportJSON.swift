import GristCore

extension VerificationReport {
  /// The report as the command's contract describes it.
  public var json: JSONValue {
    var document: JSONObject = [
      "passed": JSONValue(passed), "objections": JSONValue(objections), "model": JSONValue(model.path),
      "not_tested": JSONValue(notTested), "reference": JSONValue(reference.path),
      "date": JSONValue(date), "arithmetic": JSONValue(arithmetic), "model_side": model.json,
      "reference_side": reference.json,
      "reference_loss": referenceLoss.map { JSONValue($0) } ?? .null,
      "limits": [
        "tie_margin": JSONValue(limits.tieMargin), "max_kl": JSONValue(limits.maximumMeanKL),
        "requires_choices": JSONValue(limits.requiresChoices),
        "requires_same_weights": JSONValue(limits.requiresSameWeights),
      ],
      "router": [
        "agree": JSONValue(count(.agrees)), "of": JSONValue(decided), "ties": JSONValue(count(.tie)),
        "filter_sets_equal": JSONValue(filterSetsEqual),
        "filter_orders_equal": JSONValue(filterOrdersEqual),
        "aligned": ownAlignment.map { JSONValue($0) } ?? .null, "same_choices": JSONValue(sameChoices),
        "exact_by_construction": hasExactChoices.map { JSONValue($0) } ?? .null,
        "differing_where_not_held": JSONValue(differingWhereNotHeld),
        "reference_in": .array(
          floors.map {
            [
              "arithmetic": JSONValue($0.rounding.rawValue), "tried": JSONValue($0.tried),
              "changed": JSONValue($0.changed), "beyond_ties": JSONValue($0.beyondTies),
            ]
          }),
      ],
      "outputs": [
        "top1_agreement": JSONValue(top1Agreement), "kl_mean": JSONValue(kl.mean),
        "kl_mean_at_least": JSONValue(leastMeanKL), "kept_logits": keptLogits.map { JSONValue($0) } ?? .null,
        "kl_median": JSONValue(kl.median), "kl_p99": JSONValue(kl.p99),
        "kl_max": JSONValue(kl.maximum), "max_abs_logit_difference": JSONValue(largestLogitDifference),
        "greedy_match_mean": JSONValue(greedyMatchMean),
        "perplexity": perplexity.map { JSONValue($0.model) } ?? .null,
        "reference_perplexity": perplexity.map { JSONValue($0.reference) } ?? .null,
        "positions": JSONValue(positions),
      ],
      "weights": weights.map(\.json) ?? .null,
      "worst_case": worstCase.map { $0.json(agreement(of: $0)) } ?? .null,
      "cases": .array(cases.map { $0.json(agreement(of: $0)) }),
    ]
    if !parts.isEmpty { document["by_part"] = .array(parts.map(\.json)) }
    return .object(document)
  }
}

extension VerificationReport.Case {
  fileprivate func json(_ agreement: Agreement) -> JSONValue {
    func optional<Value>(_ value: Value?, _ convert: (Value) -> JSONValue) -> JSONValue { value.map(convert) ?? .null }
    return [
      "image": optional(reference.question.image) { JSONValue($0) }, "prompt": JSONValue(reference.question.prompt),
      "verdict": JSONValue(agreement.rawValue),
      "reference_choice": optional(reference.decision) { $0.granularity.json },
      "choice": optional(decision) { $0.granularity.json },
      "reference_holds_choice": optional(reference.holdsChoice) { JSONValue($0) },
      "reference_margin": optional(reference.decision) { JSONValue($0.margin) },
      "reference_logits": optional(reference.decision) { JSONValue($0.scores) },
      "logits": optional(decision) { JSONValue($0.scores) },
      "filter_set_equal": optional(filterSetEqual) { JSONValue($0) },
      "filter_order_equal": optional(filterOrderEqual) { JSONValue($0) },
      "failure": optional(failure) { JSONValue($0) },
      "kl_mean": JSONValue(kl.mean), "kl_max": JSONValue(kl.maximum),
      "top1_agreement": JSONValue(
        divergences.isEmpty
          ? 0 : Double(agreeingOnTop) / Double(divergences.count)),
      "greedy_match": JSONValue(greedyMatch), "greedy_length": JSONValue(reference.tokens.count),
      "reference_text": optional(answers) { JSONValue($0.reference) },
      "text": optional(answers) { JSONValue($0.model) },
    ]
  }
}

extension VerifiedSide {
  package var json: JSONValue {
    [
      "kind": JSONValue(kind.rawValue), "bytes": byteCount.map { JSONValue($0) } ?? .null,
      "recipe": recipe.map { JSONValue($0) } ?? .null, "fingerprint": fingerprint.map { JSONValue($0) } ?? .null,
    ]
  }
}

extension WeightComparison {
  fileprivate var json: JSONValue {
    let worst = tensors.max { $0.relativeError - $0.limit < $1.relativeError - $1.limit }
    return [
      "compared": JSONValue(tensors.count), "exact": JSONValue(isExact),
      "origin": JSONValue(origin.rawValue), "missing": JSONValue(missing),
      "rejected": .array(rejected.map(\.json)), "worst": worst.map(\.json) ?? .null,
    ]
  }
}

extension WeightComparison.Tensor {
  fileprivate var json: JSONValue {
    [
      "name": JSONValue(name), "relative_error": JSONValue(relativeError), "recorded_error": JSONValue(recordedError),
      "limit": JSONValue(limit),
    ]
  }
}

extension PartEffect {
  fileprivate var json: JSONValue {
    [
      "part": JSONValue(part.rawValue), "choices_changed": JSONValue(choicesChanged),
      "beyond_ties": JSONValue(changedBeyondTies), "mean_margin_change": JSONValue(meanMarginChange),
      "filter_sets_changed": JSONValue(filterSetsChanged), "filter_orders_changed": JSONValue(filterOrdersChanged),
      "max_logit_change": JSONValue(largestLogitChange), "of": JSONValue(cases),
    ]
  }
}
