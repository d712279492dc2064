/// MME asks two questions of yes and no about each picture (Fu et al. 2023): accuracy is the share of questions, accuracy+
/// that of pictures both of whose questions were answered rightly. A category's score is both, in percent, together, and
/// the benchmark's the sum over categories.
public struct PairedQuestions: Sendable, Equatable {
  /// Of a category, or where questions name none of all.
  public struct Category: Sendable, Equatable {
    public let name: String?
    public let pictures: Int
    public let accuracy: Double
    public let accuracyPlus: Double

    /// From 0 to 200.
    public var score: Double { 100 * (accuracy + accuracyPlus) }
  }

  /// In the order in which the file first names them.
  public let categories: [Category]

  /// The benchmark's score, or that of its part that was asked.
  public var score: Double { categories.reduce(0) { $0 + $1.score } }

  /// Share of the pictures both of whose questions were answered rightly.
  public var accuracyPlus: Double {
    let pictures = categories.reduce(0) { $0 + $1.pictures }
    return categories.reduce(0.0) { $0 + $1.accuracyPlus * Double($1.pictures) } / Double(max(pictures, 1))
  }

  /// Nil unless every picture of a category was asked about twice.
  ///
  /// - Parameter answers: of every question its category, its picture, and whether it was answered rightly.
  package init?(_ answers: [(category: String?, picture: String, isRight: Bool)]) {
    var order: [String?] = []
    var pictures: [String?: [String: [Bool]]] = [:]
    for answer in answers {
      if pictures[answer.category] == nil { order.append(answer.category) }
      pictures[answer.category, default: [:]][answer.picture, default: []].append(answer.isRight)
    }
    guard !answers.isEmpty, pictures.values.allSatisfy({ $0.values.allSatisfy { $0.count == 2 } }) else { return nil }
    categories = order.map { name in
      let pairs = pictures[name]?.values.map { $0.count { $0 } } ?? []
      let count = Double(max(pairs.count, 1))
      return Category(
        name: name, pictures: pairs.count, accuracy: Double(pairs.reduce(0, +)) / 2 / count,
        accuracyPlus: Double(pairs.count { $0 == 2 }) / count)
    }
  }
}
