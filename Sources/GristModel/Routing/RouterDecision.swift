/// One choice that a router made: where, among what, how each was scored, and which was taken.
public struct RouterChoice: Sendable, Equatable {
  /// What a choice is about.
  public enum Place: Sendable, Hashable {
    /// All tiles together.
    case picture
    /// One tile, counted from the whole picture's.
    case tile(Int)
  }

  public let place: Place
  /// Visual tokens a tile of each option, in the router's order.
  public let options: [Int]
  /// What speaks for each option.
  public let scores: [Float]
  /// Which was taken. It need not have the greatest score: a family may hold scores against something else.
  public let index: Int
  /// How far the scores are from another choice, in their own unit.
  public let margin: Float

  /// A choice by a rule of the family's own.
  ///
  /// - Precondition: There are as many scores as options, and `index` is one of theirs.
  public init(_ place: Place, options: [Int], scores: [Float], index: Int, margin: Float) {
    precondition(options.count == scores.count && options.indices.contains(index))
    self.place = place
    self.options = options
    self.scores = scores
    self.index = index
    self.margin = margin
  }

  /// The choice of the greatest score, the first of equal ones; its margin is the distance to the second, infinite
  /// where there is none.
  ///
  /// - Precondition: There is an option, and there are as many scores.
  public init(_ place: Place, options: [Int], scores: [Float]) {
    let sorted = scores.sorted(by: >)
    self.init(
      place, options: options, scores: scores, index: indexOfGreatest(scores),
      margin: sorted.count > 1 ? sorted[0] - sorted[1] : .infinity)
  }

  /// Visual tokens a tile that were chosen.
  public var tokens: Int { options[index] }

  /// Whether it is the choice of the greatest score, and its margin the distance to the second.
  var isOfGreatestScore: Bool { self == RouterChoice(place, options: options, scores: scores) }

  /// Whether every score is a number; among others there is no choice.
  public var isFinite: Bool { scores.allSatisfy(\.isFinite) && !margin.isNaN }

  /// How much wider the margin between this choice's first two options is in another choice among the same; 0 where
  /// there is but one.
  func marginChange(in other: RouterChoice) -> Float {
    let order = scores.indices.sorted { scores[$0] > scores[$1] }
    guard order.count > 1, other.scores.count == scores.count else { return 0 }
    let (first, second) = (order[0], order[1])
    return (other.scores[first] - other.scores[second]) - (scores[first] - scores[second])
  }
}

/// What a router decided about one picture, and why.
public struct RouterDecision: Sendable, Equatable {
  /// One about the whole picture, or one for each tile, in their order.
  public let choices: [RouterChoice]
  /// What the family's router tells of how it came to them; compared by a verification, beside the choices.
  public let reasons: [Reason]

  /// One of a family's own reasons.
  public struct Reason: Sendable, Equatable {
    public enum Value: Sendable, Equatable {
      /// Places of things looked at, the most important first.
      case ranking([Int])
      case number(Float)
    }

    /// A word for people.
    public let name: String
    public let value: Value

    public init(_ name: String, _ value: Value) {
      self.name = name
      self.value = value
    }
  }

  /// - Precondition: There is one choice about the whole picture, or one for each tile from 0 on.
  public init(_ choices: [RouterChoice], reasons: [Reason] = []) {
    precondition(Self.isWhole(choices.map(\.place)))
    self.choices = choices
    self.reasons = reasons
  }

  /// Whether choices at these places decide about a whole picture.
  public static func isWhole(_ places: [RouterChoice.Place]) -> Bool {
    places == [.picture] || !places.isEmpty && places == places.indices.map { .tile($0) }
  }

  /// What the tiles become.
  public var granularity: Granularity {
    wholePicture.map { .uniform($0.tokens) } ?? .perTile(choices.map(\.tokens))
  }

  /// The only choice, where it is about the whole picture.
  public var wholePicture: RouterChoice? { choices.first { $0.place == .picture } }

  /// All choices' scores, one after the other.
  public var scores: [Float] { choices.flatMap(\.scores) }

  /// Whether every score is a number.
  public var isFinite: Bool { choices.allSatisfy(\.isFinite) }

  /// The least margin of a choice.
  public var margin: Float { choices.map(\.margin).min() ?? .infinity }

  /// The greatest margin of the choices that another granularity does not make; nil where it makes them all.
  public func greatestMargin(against other: Granularity) -> Float? {
    choices.enumerated().filter { $1.tokens != other.tokens(ofTile: $0) }.map(\.element.margin).max()
  }

  /// How much each choice's margin between its first two options is wider in another decision about the same; in the
  /// mean over choices, without signs.
  public func marginChange(in other: RouterDecision) -> Float {
    guard choices.count == other.choices.count else { return 0 }
    let changes = zip(choices, other.choices).map { abs($0.marginChange(in: $1)) }
    return changes.reduce(0, +) / Float(max(changes.count, 1))
  }

  /// The greatest change of the distance between two scores of one choice, from another decision about the same: a
  /// choice whose margin is more than this is the other's. Nil where that chose among other options, where a score is no
  /// number, and where a family chooses by another rule than the greatest score, of which the distances say nothing.
  public func spread(from other: RouterDecision) -> Float? {
    guard choices.count == other.choices.count, isFinite, other.isFinite else { return nil }
    var greatest: Float = 0
    for (choice, other) in zip(choices, other.choices) {
      guard choice.options == other.options, choice.isOfGreatestScore, other.isOfGreatestScore else { return nil }
      let changes = zip(choice.scores, other.scores).map { $0 - $1 }
      greatest = max(greatest, (changes.max() ?? 0) - (changes.min() ?? 0))
    }
    return greatest
  }

  /// A ranking that is a reason; nil where there is none of that name.
  public func ranking(_ name: String) -> [Int]? {
    for case .ranking(let order) in reasons.filter({ $0.name == name }).map(\.value) { return order }
    return nil
  }
}
