import GristCore
import GristModel

extension VerificationReport {
  /// The report as one page that needs nothing else: no scripts, no fonts, no pictures from elsewhere. Everything that
  /// came from outside (names, questions) is escaped.
  public var html: String {
    let pictures = ReportPictures(cases)
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <title>\(passed ? "Passed" : "Failed"): \(escaped(fileName(of: model.path)))</title>
      <style>
      \(ReportStyle.css)
      \(pictures.css)
      </style>
      </head>
      <body>
      <main>
      \(header)
      \(figures)
      \(caseTable(pictures))
      \(parts.isEmpty ? "" : Self.partTable(parts))
      \(ReportStyle.howToRead(hasTextFilter: hasTextFilter))
      <footer>gristmill \(escaped(gristmillVersion))</footer>
      </main>
      </body>
      </html>

      """
  }

  private var header: String {
    let why = objections.map { "<li>\(escaped($0))</li>" }.joined(separator: "\n")
    return """
      <header>
      <p class="verdict \(passed ? "good" : "bad")">\(passed ? "Passed" : "Failed")</p>
      <h1>\(escaped(fileName(of: model.path)))</h1>
      <p class="against">\(escaped(model.summary)), against <b>\(escaped(fileName(of: reference.path)))</b>, \(escaped(reference.summary))\(referenceLoss.map { ", which has lost something itself: \(escaped($0))" } ?? "")\(keptLogits.map { "; the record keeps the \($0) greatest logits: divergences are at most what stands here" } ?? "")</p>
      \(origin)
      \(why.isEmpty ? "" : "<ul class=\"why\">\n\(why)\n</ul>")
      \(remarks)
      </header>
      """
  }

  /// When and by what it was found, and of which weights.
  private var origin: String {
    let when = date.isEmpty ? "" : "Verified at \(escaped(date)) with \(escaped(arithmetic)). "
    let prints = [("model", model.fingerprint), ("reference", reference.fingerprint)].compactMap { side, print in
      print.flatMap { $0.isEmpty ? nil : (side, $0) }
    }
    let weights =
      prints.count == 2 && prints[0].1 == prints[1].1
      ? "Both were made from the weights of fingerprint <code>\(escaped(prints[0].1))</code>."
      : prints.map { "Fingerprint of the \($0.0)'s weights: <code>\(escaped($0.1))</code>." }.joined(separator: " ")
    return when.isEmpty && weights.isEmpty ? "" : "<p class=\"against\">\(when)\(weights)</p>"
  }

  /// What the verdict does not tell.
  private var remarks: String {
    var lines = notTested.map { "Not tested: \(escaped($0))." }
    if let worst = worstCase {
      let picture = worst.reference.question.image.map { "\(escaped($0)), " } ?? ""
      lines.append(
        "Worst case: \(picture)“\(escaped(worst.reference.question.prompt.shortened(to: 120)))”, KL "
          + "\(NumberText.significant(worst.kl.mean)), the same most likely token at \(worst.agreeingOnTop) of "
          + "\(worst.divergences.count) positions.")
    }
    return lines.map { "<p class=\"against\">\($0)</p>" }.joined(separator: "\n")
  }

  // MARK: the figures at the top

  private var figures: String {
    var tiles: [String] = []
    if decided > 0 {
      let ties = count(.tie)
      let differing = count(.differs)
      let remarks =
        (ties > 0 ? ["\(ties) more are ties"] : []) + (differing > 0 ? ["\(differing) differ"] : [])
        + floors.map { "the reference itself changes \($0.changed) in \($0.rounding.rawValue)" }
      tiles.append(
        ownAlignment == nil
          ? tile(
            "Router choices", "\(count(.agrees)) of \(decided)",
            remarks.isEmpty ? "all agree" : remarks.joined(separator: ", "), differing > 0 ? "bad" : "")
          : tile("Router", "aligned", "its choices are its own; \(sameChoices) of \(decided) are the reference's too"))
      if hasTextFilter {
        tiles.append(
          tile("Text filter", "\(filterSetsEqual) of \(decided)", "same set; same order in \(filterOrdersEqual)"))
      }
    }
    tiles.append(
      tile(
        "Mean KL", NumberText.significant(kl.mean),
        "p99 \(NumberText.significant(kl.p99)), max \(NumberText.significant(kl.maximum)); limit \(NumberText.significant(limits.maximumMeanKL))",
        kl.mean <= limits.maximumMeanKL ? "" : "bad", extra: meter))
    tiles.append(tile("Top-1 agreement", NumberText.percent(top1Agreement), "over \(positions) positions"))
    tiles.append(
      tile(
        "Greedy match", NumberText.fixed(greedyMatchMean, digits: 1),
        "tokens on average; largest logit difference \(NumberText.significant(largestLogitDifference))"))
    if let perplexity {
      tiles.append(
        tile(
          "Perplexity", NumberText.significant(perplexity.model),
          "the reference's is \(NumberText.significant(perplexity.reference))"))
    }
    if let weights { tiles.append(weightTile(weights)) }
    return "<section class=\"figures\">\n\(tiles.joined(separator: "\n"))\n</section>"
  }

  private func weightTile(_ weights: WeightComparison) -> String {
    let accepted = weights.tensors.count - weights.rejected.count
    let missing = weights.missing.isEmpty ? "" : "; \(weights.missing.count) missing"
    return tile(
      "Weights", weights.rejected.isEmpty ? "all \(accepted)" : "\(accepted) of \(weights.tensors.count)",
      (weights.isExact ? "as far from the reference's as the file says" : "made from other weights") + missing,
      weights.rejected.isEmpty && weights.missing.isEmpty ? "" : "bad")
  }

  private func tile(
    _ name: String, _ value: String, _ remark: String, _ tone: String = "", extra: String = ""
  ) -> String {
    "<div class=\"figure \(tone)\"><h2>\(name)</h2><p class=\"value\">\(value)</p>\(extra)<p>\(remark)</p></div>"
  }

  /// The mean divergence on a scale whose middle is the limit.
  private var meter: String {
    let ratio = limits.maximumMeanKL > 0 ? kl.mean / limits.maximumMeanKL : (kl.mean > 0 ? 2 : 0)
    let filled = ratio.isFinite ? min(max(ratio / 2, 0), 1) * 100 : 100
    return "<div class=\"meter\"><i style=\"width:\(NumberText.fixed(filled, digits: 1))%\"></i></div>"
  }

  // MARK: case by case

  private func caseTable(_ pictures: ReportPictures) -> String {
    let chart = RouterChart(
      cases.flatMap { ($0.reference.decision?.scores ?? []) + ($0.decision?.scores ?? []) })
    let rows = worstFirst.map { row(cases[$0], number: $0 + 1, chart, pictures) }.joined(separator: "\n")
    let legend =
      decided > 0
      ? "<p class=\"legend\"><span class=\"key r\"></span>reference <span class=\"key m\"></span>model "
        + "<span class=\"key dot\"></span>the choice; numbers are tokens a tile; over a picture the cells of the model's choice</p>"
      : ""
    let missing =
      pictures.leftOut > 0
      ? "<p class=\"legend\">\(pictures.leftOut) pictures are not shown: together they are too large for a page</p>"
      : ""
    return """
      <section>
      <h2>Case by case, the worst first</h2>
      \(legend)
      \(missing)
      <div class="scroll">
      <table class="cases">
      <thead><tr><th>Picture and question</th><th>Router's choice</th><th>Router's logits</th>\(hasTextFilter ? "<th>Text filter</th>" : "")\
      <th class="n">KL mean</th><th class="n">Top-1</th><th class="n">Greedy match</th></tr></thead>
      <tbody>
      \(rows)
      </tbody>
      </table>
      </div>
      </section>
      """
  }

  /// Places of the cases: those that could not be answered, then choices that differ, ties, and the rest; among alike
  /// ones by divergence.
  private var worstFirst: [Int] {
    func severity(_ item: Case) -> Double {
      if item.failure != nil { return 3 }
      switch agreement(of: item) {
      case .differs: return 2
      case .tie: return 1
      case .agrees, .aligned, .none: return 0
      }
    }
    func divergence(_ item: Case) -> Double { item.kl.mean.isNaN ? .infinity : item.kl.mean }
    let keys = cases.map { (severity($0), divergence($0)) }
    return cases.indices.sorted { keys[$0] == keys[$1] ? $0 < $1 : keys[$0] > keys[$1] }
  }

  private func row(_ item: Case, number: Int, _ chart: RouterChart, _ pictures: ReportPictures) -> String {
    let agreement = agreement(of: item)
    let question = item.reference.question
    let tone = item.kl.mean <= limits.maximumMeanKL ? "" : "bad"
    return """
      <tr>
      <td>\(pictures.figure(item))<b>\(number). \(escaped(question.image ?? "no picture"))</b><p class="question">\(escaped(question.prompt))</p></td>
      <td>\(Self.choiceCell(item, agreement))</td>
      <td>\(chart.svg(reference: item.reference.decision, model: item.decision))</td>
      \(hasTextFilter ? "<td>\(Self.filterCell(item))</td>" : "")
      <td class="n \(tone)">\(NumberText.significant(item.kl.mean))<small>max \(NumberText.significant(item.kl.maximum))</small></td>
      <td class="n">\(item.agreeingOnTop)<small>of \(item.divergences.count)</small></td>
      <td class="n">\(item.greedyMatch)<small>of \(item.reference.tokens.count)</small></td>
      </tr>
      \(Self.answersRow(item, columns: hasTextFilter ? 7 : 6))
      """
  }

  /// Both answers side by side, or one where they are the same.
  private static func answersRow(_ item: Case, columns: Int) -> String {
    let cells: [(name: String, key: String, text: String)]
    if let failure = item.failure {
      cells = [("The model could not answer", "m", failure)]
    } else if let answers = item.answers {
      cells =
        answers.reference == answers.model
        ? [("Both answer", "", answers.model)]
        : [("Reference", "r", answers.reference), ("Model", "m", answers.model)]
    } else {
      return ""
    }
    let blocks = cells.map { cell in
      let key = cell.key.isEmpty ? "" : "<span class=\"key \(cell.key)\"></span>"
      return "<div>\(key)<small>\(cell.name)</small><p>\(escaped(cell.text))</p></div>"
    }
    return "<tr class=\"answers\"><td colspan=\"\(columns)\"><div class=\"sides\">\(blocks.joined())</div></td></tr>"
  }

  private static func choiceCell(_ item: Case, _ agreement: Case.Agreement) -> String {
    guard agreement != .none else { return "<span class=\"none\">nothing to choose</span>" }
    let label =
      switch agreement {
      case .agrees: "agrees"
      case .tie: "tie"
      case .aligned: "aligned"
      case .differs, .none: "differs"
      }
    func text(_ decision: RouterDecision?) -> String { decision.map { "\($0.granularity)" } ?? "none" }
    func margin(_ decision: RouterDecision?) -> String {
      decision.map { NumberText.fixed(Double($0.margin)) } ?? "none"
    }
    let (expected, chosen) = (item.reference.decision, item.decision)
    return "<span class=\"pill \(label)\">\(label)</span> <b>\(text(expected)) → \(text(chosen))</b>"
      + "<small>margin \(margin(expected)) → \(margin(chosen))</small>"
  }

  private static func filterCell(_ item: Case) -> String {
    guard let rankings = item.rankings else { return "<span class=\"none\">none</span>" }
    if rankings.areEqual { return "same<small>\(rankings.kept) tokens in order</small>" }
    if rankings.haveEqualSets { return "same set<small>another order</small>" }
    return "\(rankings.exchanged) exchanged<small>of \(rankings.kept) tokens</small>"
  }

  // MARK: part by part

  private static func partTable(_ parts: [PartEffect]) -> String {
    let rows = parts.map { part in
      """
      <tr><td>\(escaped(part.part.rawValue))</td>\
      <td class="n \(part.choicesChanged > 0 ? "bad" : "")">\(part.choicesChanged) of \(part.cases)</td>\
      <td class="n">\(part.changedBeyondTies)</td><td class="n">\(NumberText.significant(part.meanMarginChange))</td>\
      <td class="n">\(part.filterSetsChanged)</td><td class="n">\(part.filterOrdersChanged)</td>\
      <td class="n">\(NumberText.significant(part.largestLogitChange))</td></tr>
      """
    }.joined(separator: "\n")
    return """
      <section>
      <h2>Part by part</h2>
      <p>One part at a time comes from the model, everything else from the reference.</p>
      <div class="scroll parts">
      <table>
      <thead><tr><th>Part</th><th class="n">Choices changed</th><th class="n">Beyond ties</th>\
      <th class="n">Margin moved</th><th class="n">Filter sets changed</th>\
      <th class="n">Filter orders changed</th><th class="n">Largest logit change</th></tr></thead>
      <tbody>
      \(rows)
      </tbody>
      </table>
      </div>
      </section>
      """
  }
}

extension OutputKind {
  /// A page for a browser.
  public static let page = OutputKind(name: "a page", containing: "<html")
}
