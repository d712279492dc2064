import GristCore
import GristVerification

/// A verification's result for people.
enum VerifyText {
  static func describe(_ report: VerificationReport, casesToo: Bool) -> String {
    var lines: [String] = []
    if casesToo { lines += [cases(report), ""] }
    if let loss = report.referenceLoss { lines.append("note     the reference has lost something itself: \(loss)") }
    let decided = report.decided
    if decided > 0 {
      let ties = report.count(.tie)
      let choices =
        report.ownAlignment == nil
        ? "\(report.count(.agrees)) of \(decided) choices agree"
        : "aligned: its choices are its own, \(report.sameChoices) of \(decided) are the reference's too"
      lines.append(
        "router   " + choices + (ties > 0 ? ", \(ties) more are ties" : "")
          + (report.hasTextFilter
            ? "; text filter: same set in \(report.filterSetsEqual), same order in \(report.filterOrdersEqual)" : ""))
      if !report.floors.isEmpty {
        let floors = report.floors.map {
          "\($0.changed) in \($0.rounding.rawValue) (\($0.beyondTies) beyond ties)"
        }
        lines.append("         of its own choices the reference changes " + floors.joined(separator: ", "))
        if report.differingWhereNotHeld > 0 {
          lines.append(
            "         \(report.differingWhereNotHeld) of the \(report.count(.differs)) that differ are among those")
        }
      }
      if report.hasExactChoices == true {
        lines.append("         and on any other question too: all that a choice depends on is stored as it came")
      }
    }
    lines.append(
      "outputs  top-1 agreement \(NumberText.percent(report.top1Agreement)); KL mean \(NumberText.significant(report.kl.mean, digits: 2)), "
        + "p99 \(NumberText.significant(report.kl.p99, digits: 2)), max \(NumberText.significant(report.kl.maximum, digits: 2)); largest logit difference "
        + "\(NumberText.significant(report.largestLogitDifference, digits: 2)); greedy match \(NumberText.fixed(report.greedyMatchMean, digits: 1)) tokens"
    )
    if let kept = report.keptLogits {
      lines.append(
        "         the record keeps the \(kept) greatest logits: KL is at most this, its mean at least "
          + NumberText.significant(report.leastMeanKL, digits: 2))
    }
    if let perplexity = report.perplexity {
      lines.append(
        "         perplexity \(NumberText.significant(perplexity.model)), the reference's "
          + NumberText.significant(perplexity.reference))
    }
    if let weights = report.weights {
      let accepted = weights.tensors.count - weights.rejected.count
      lines.append(
        "weights  \(accepted) of \(weights.tensors.count) tensors are the reference's, up to "
          + (weights.isExact
            ? "exactly the error recorded in the file" : "the error recorded in the file")
          + (report.ownAlignment == nil ? "" : ", the router's with what training moved it by")
          + (weights.origin == .cast ? ", after a cast that lost nothing" : "")
          + (weights.origin == .other ? "; the file was made from other weights" : ""))
    }
    if !report.parts.isEmpty { lines += ["", by(report.parts)] }
    for gap in report.notTested { lines.append("untested \(gap)") }
    lines.append("")
    lines.append(report.passed ? "PASSED" : "FAILED: " + report.objections.joined(separator: "; "))
    if let worst = report.worstCase {
      let picture = worst.reference.question.image.map { "\($0), " } ?? ""
      lines.append(
        "worst case: \(picture)\"\(Format.shortened(worst.reference.question.prompt))\": KL "
          + "\(NumberText.significant(worst.kl.mean, digits: 2)), the same most likely token at "
          + "\(worst.agreeingOnTop) of \(worst.divergences.count) positions")
      if let answers = worst.answers, answers.reference != answers.model {
        lines.append("  the reference answers: \"\(Format.shortened(answers.reference, to: 120))\"")
        lines.append("  the model answers:     \"\(Format.shortened(answers.model, to: 120))\"")
      }
    }
    return lines.joined(separator: "\n")
  }

  private static func cases(_ report: VerificationReport) -> String {
    var rows = [["picture", "question", "reference", "model", "", "margin", "KL mean", "top-1"]]
    for item in report.cases {
      rows.append([
        item.reference.question.image ?? "-", Format.shortened(item.reference.question.prompt),
        item.reference.decision.map { "\($0.granularity)" } ?? "-",
        item.decision.map { "\($0.granularity)" } ?? "-",
        report.agreement(of: item) == .none ? "" : report.agreement(of: item).rawValue,
        item.reference.decision.map { NumberText.fixed(Double($0.margin)) } ?? "-",
        NumberText.significant(item.kl.mean, digits: 2),
        "\(item.agreeingOnTop)/\(item.divergences.count)",
      ])
    }
    return Format.table(rows, leftAligned: [0, 1, 4])
  }

  private static func by(_ parts: [PartEffect]) -> String {
    var rows = [
      [
        "part alone", "choices changed", "beyond ties", "margin moved", "filter sets", "filter orders",
        "largest logit change",
      ]
    ]
    for part in parts {
      rows.append([
        part.part.rawValue, "\(part.choicesChanged) of \(part.cases)", "\(part.changedBeyondTies)",
        NumberText.significant(part.meanMarginChange, digits: 2), "\(part.filterSetsChanged)",
        "\(part.filterOrdersChanged)", NumberText.significant(part.largestLogitChange, digits: 2),
      ])
    }
    return Format.table(rows)
  }
}
