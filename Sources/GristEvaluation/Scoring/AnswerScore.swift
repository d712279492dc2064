import GristCore

/// How an answer is held against those that are right, by the definition that each benchmark published.
public enum AnswerScore: String, Sendable, CaseIterable {
  /// Equal to one of them but for case, ASCII punctuation and blanks around it: GQA, as lmms-eval scores it.
  case exact
  /// The letter of a choice, alone or as in `B. a cat` or `The answer is B.`: ScienceQA, MMBench and AI2D, as LLaVA's
  /// `eval_science_qa.py` reads it.
  case choice
  /// Yes unless the first sentence has the word no or not: POPE, as LLaVA's `eval_pope.py` reads it.
  case yesNo = "yes-no"
  /// Yes or no within the first four letters, anything else is wrong: MME, as lmms-eval reads it; see ``PairedQuestions``.
  case mme
  /// How many of ten people gave it, at least three for the whole: TextVQA and VizWiz, VQA accuracy (Antol et al. 2015) on
  /// texts that were normalized as EvalAI does.
  case vqa
  /// Within 5 % of a number, else equal but for case: ChartQA's relaxed accuracy (Masry et al. 2022).
  case relaxed
  /// 1 less the normalized edit distance to the nearest, 0 below a half: DocVQA's ANLS (Mathew et al. 2021).
  case anls

  /// - Parameters:
  ///   - answer: what the model said.
  ///   - right: every answer that is right; at least one.
  ///
  /// - Returns: From 0 to 1.
  public func score(_ answer: String, _ right: [String]) -> Double {
    switch self {
    case .exact:
      right.contains { Self.plain($0) == Self.plain(answer) } ? 1 : 0
    case .choice:
      right.contains { Self.letter(answer) == Character($0.uppercased().first.map(String.init) ?? " ") } ? 1 : 0
    case .yesNo:
      right.contains { YesNo.means(answer) == ($0.strippedAsPython().lowercased() == "yes") } ? 1 : 0
    case .mme:
      right.contains { Self.firstLetters(answer) == $0.strippedAsPython().lowercased().replacing(".", with: "") }
        ? 1 : 0
    case .vqa: Self.vqa(VQANormalizer.normalized(answer), right.map(VQANormalizer.normalized))
    case .relaxed: right.contains { Self.isWithin(answer, $0) } ? 1 : 0
    case .anls: right.map { Self.similarity(answer, $0) }.max().map { $0 < 0.5 ? 0 : $0 } ?? 0
    }
  }

  /// `yes`, `no`, or another word.
  private static func firstLetters(_ answer: String) -> String {
    let text = answer.lowercased().strippedAsPython().replacing(".", with: "")
    switch text {
    case "y", "yes": return "yes"
    case "n", "no": return "no"
    case _ where text.unicodeScalars.count == 1: return "other"
    default:
      let start = String(String.UnicodeScalarView(text.unicodeScalars.prefix(4)))
      return start.contains("yes") ? "yes" : start.contains("no") ? "no" : "other"
    }
  }

  private static func plain(_ text: String) -> [UInt8] {
    let letters = text.strippedAsPython().lowercased().utf8.filter { byte in
      switch byte {
      case 0x21...0x2f, 0x3a...0x40, 0x5b...0x60, 0x7b...0x7e: false
      default: true
      }
    }
    return Array(letters)
  }

  private static func letter(_ answer: String) -> Character? {
    let characters = Array(answer)
    func isOption(_ character: Character?) -> Bool { character.map { "A"..."Z" ~= $0 } ?? false }
    guard isOption(characters.first) || answer.contains("The answer is ") else { return nil }
    if characters.count == 1 { return characters[0] }
    if characters.count >= 3, isOption(characters[0]), characters[1] == ".", characters[2] == " " {
      return characters[0]
    }
    // The letter, and any character behind it but a line's end.
    let found = answer.ranges(of: "The answer is ").compactMap { range -> Character? in
      let rest = answer[range.upperBound...].prefix(2)
      guard rest.count == 2, isOption(rest.first), rest.last != "\n" else { return nil }
      return rest.first
    }
    return found.count == 1 ? found[0] : nil
  }

  private static func vqa(_ answer: String, _ people: [String]) -> Double {
    let shares = people.indices.map { index in
      let others = people.indices.filter { $0 != index && people[$0] == answer }.count
      return min(1, Double(others) / 3)
    }
    // Where one answer alone is given, nobody else can have given it.
    if people.count == 1 { return people[0] == answer ? 1 : 0 }
    return shares.reduce(0, +) / Double(max(shares.count, 1))
  }

  private static func isWithin(_ answer: String, _ right: String) -> Bool {
    func number(_ text: String) -> Double? {
      let isPercent = text.hasSuffix("%")
      let digits = String(isPercent ? text.drop(whileSuffix: "%") : Substring(text)).strippedAsPython()
      // As Python reads one: nothing hexadecimal, and underscores between digits.
      let characters = Array(digits)
      let isPlain = characters.indices.allSatisfy { index in
        let isBetween =
          index > 0 && index + 1 < characters.count && characters[index - 1].isNumber && characters[index + 1].isNumber
        return characters[index] != "_" || isBetween
      }
      guard isPlain, !digits.lowercased().contains("x") else { return nil }
      return Double(digits.replacing("_", with: "")).map { isPercent ? $0 / 100 : $0 }
    }
    if let said = number(answer), let wanted = number(right), wanted != 0 {
      return abs(said - wanted) / abs(wanted) <= 0.05
    }
    return answer.lowercased() == right.lowercased()
  }

  private static func similarity(_ answer: String, _ right: String) -> Double {
    func words(_ text: String) -> [Unicode.Scalar] {
      Array(text.lowercased().split(whereSeparator: \.isWhitespace).joined(separator: " ").unicodeScalars)
    }
    let longest = max(answer.uppercased().unicodeScalars.count, right.uppercased().unicodeScalars.count)
    guard longest > 0 else { return 1 }
    return 1 - Double(editDistance(words(answer), words(right))) / Double(longest)
  }
}

extension String {
  fileprivate func drop(whileSuffix character: Character) -> Substring {
    var rest = self[...]
    while rest.last == character { rest = rest.dropLast() }
    return rest
  }
}

/// Levenshtein's: insertions, deletions and replacements that make one of the other.
func editDistance<Element: Equatable>(_ a: [Element], _ b: [Element]) -> Int {
  var row = Array(0...b.count)
  for (i, left) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, right) in b.enumerated() {
      let replaced = diagonal + (left == right ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(replaced, row[j] + 1, diagonal + 1)
    }
  }
  return row[b.count]
}
