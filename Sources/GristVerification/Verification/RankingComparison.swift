import GristModel

/// What two decisions' routers looked at, such as the tokens that AVG-LLaVA's text filter kept: decisions before the
/// choice.
struct RankingComparison {
  /// Whether both kept the same things.
  let haveEqualSets: Bool
  /// Whether in the same order, too.
  let areEqual: Bool
  /// Things that the reference's kept, and of those, what the model's did not.
  let kept: Int
  let exchanged: Int

  /// Nil where the reference's family ranks nothing.
  init?(_ reference: RouterDecision, _ model: RouterDecision) {
    var pairs: [(expected: [Int], found: [Int])] = []
    for reason in reference.reasons {
      guard case .ranking(let order) = reason.value else { continue }
      pairs.append((order, model.ranking(reason.name) ?? []))
    }
    guard !pairs.isEmpty else { return nil }
    haveEqualSets = pairs.allSatisfy { Set($0.expected) == Set($0.found) }
    areEqual = pairs.allSatisfy { $0.expected == $0.found }
    kept = pairs.reduce(0) { $0 + $1.expected.count }
    exchanged = pairs.reduce(0) { $0 + Set($1.expected).subtracting($1.found).count }
  }
}
