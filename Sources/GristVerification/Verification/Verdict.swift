import GristCore

/// What a report comes to.
extension VerificationReport {
  /// Why the model does not pass, one sentence each; empty when it does.
  public var objections: [String] {
    var objections: [String] = []
    if cases.isEmpty { objections.append("there was nothing to compare") }
    if hasRouter, decided == 0, limits.requiresChoices {
      objections.append(
        "no router choice was tested, as no question had a picture: ask about pictures, or have the text alone verified "
          + "(--text-only)")
    }
    let failures = cases.compactMap(\.failure)
    if let first = failures.first {
      objections.append("the model could not answer \(failures.count) of \(cases.count) cases: \(first)")
    }
    let broken = cases.filter { !$0.reference.isFinite }.count
    if broken > 0 {
      objections.append(
        "the reference's own logits or margins are not finite in \(broken) of \(cases.count) cases: it proves nothing")
    }
    let undecided = cases.filter { $0.failure == nil && $0.decision?.isFinite == false }.count
    if undecided > 0 {
      objections.append("the model's router logits are not finite in \(undecided) of \(cases.count) cases")
    }
    let differing = count(.differs)
    if differing > 0 {
      objections.append(
        "the router chose differently in \(differing) of \(decided) cases, by more than a tie"
          + (differingWhereNotHeld > 0
            ? "; in \(differingWhereNotHeld) of them the reference does not hold its own choice in coarser arithmetic"
            : ""))
    }
    // Written so that a divergence that is not a number fails too.
    if !(kl.mean <= limits.maximumMeanKL) {
      objections.append(
        "the mean KL divergence is \(NumberText.significant(kl.mean)), above \(NumberText.significant(limits.maximumMeanKL))"
      )
    }
    if let weights, limits.requiresSameWeights {
      if let worst = weights.rejected.max(by: { $0.relativeError - $0.limit < $1.relativeError - $1.limit }) {
        objections.append(
          "\(weights.rejected.count) of \(weights.tensors.count) tensors are not the reference's: \(worst.name) is "
            + "\(NumberText.significant(worst.relativeError)) off, \(NumberText.significant(worst.limit)) at most was expected"
        )
      }
      if weights.rejected.isEmpty, weights.origin == .other {
        objections.append(
          "the model was made from other weights than the reference: their fingerprints differ, and no cast without loss "
            + "explains it (--other-weights compares all the same)")
      }
      if let name = weights.missing.first {
        objections.append("\(weights.missing.count) of the reference's tensors are not there, \(name) among them")
      }
    }
    return objections
  }

  public var passed: Bool { objections.isEmpty }

  /// What the verdict says nothing about, one phrase each.
  public var notTested: [String] {
    var gaps: [String] = []
    if let ownAlignment { gaps.append("router choices, which are not the reference's to make: \(ownAlignment)") }
    if hasRouter, decided == 0 { gaps.append("router choices, as no question had a picture") }
    if cases.allSatisfy(\.divergences.isEmpty) { gaps.append("outputs, as there was none to compare") }
    if weights == nil { gaps.append("the stored weights, as a record has none to compare with") }
    return gaps
  }

  /// The case whose outputs are farthest from the reference's; nil where none has any.
  public var worstCase: Case? {
    // A divergence that is not a number is the worst there is.
    cases.filter { !$0.divergences.isEmpty }.max {
      ($0.kl.mean.isNaN ? .infinity : $0.kl.mean) < ($1.kl.mean.isNaN ? .infinity : $1.kl.mean)
    }
  }
}
