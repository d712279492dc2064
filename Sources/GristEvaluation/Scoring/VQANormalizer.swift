import GristCore

/// Texts as EvalAI makes them alike before VQA accuracy compares them: lower case, no articles, digits for small numbers,
/// apostrophes where contractions lack them, no punctuation.
enum VQANormalizer {
  static func normalized(_ text: String) -> String {
    var text = text.lowercased().replacing(",", with: "").replacing("?", with: "").replacing("'s", with: " 's")
    text = text.strippedAsPython().replacing("\n", with: " ").replacing("\t", with: " ").strippedAsPython()
    let words = withoutPunctuation(text).lowercased().split(whereSeparator: \.isWhitespace).map(String.init)
    return words.map { numbers[$0] ?? $0 }.filter { !articles.contains($0) }.map { contractions[$0] ?? $0 }
      .joined(separator: " ")
  }

  /// Marks at a word's edge go, those inside one part it. Periods go but before digits, no more than 32.
  private static func withoutPunctuation(_ text: String) -> String {
    var result = text
    for mark in #";/[]"{}()=+\_-><@`,?!"# {
      let isAtEdge = text.contains("\(mark) ") || text.contains(" \(mark)")
      result = result.replacing(String(mark), with: isAtEdge ? "" : " ")
    }
    var (kept, dropped) = ("", 0)
    let characters = Array(result)
    for (index, character) in characters.enumerated() {
      let isBeforeDigit = index + 1 < characters.count && characters[index + 1].isNumber
      if character == ".", !isBeforeDigit, dropped < 32 {
        dropped += 1
      } else {
        kept.append(character)
      }
    }
    return kept
  }

  private static let articles: Set<String> = ["a", "an", "the"]

  private static let numbers: [String: String] = {
    let words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    var numbers = Dictionary(uniqueKeysWithValues: words.enumerated().map { ($1, String($0)) })
    numbers["none"] = "0"
    return numbers
  }()

  /// Contractions by what is left of each when one of its apostrophes is missing.
  private static let contractions: [String: String] = {
    let plain = """
      ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's isn't it'd
      it'll ma'am mightn't might've mustn't must've needn't not've o'clock oughtn't shan't should've shouldn't somebody'll
      somebody's someone'd someone'll someone's something'd something'll that's there'd there're there's they'd they'll
      they're they've 'twas wasn't we've weren't what'll what're what's what've when's where'd where's where've who'd
      who'll who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've
      couldn't've hadn't've he'd've it'd've mightn't've she'd've shouldn't've someone'd've something'd've that'd've
      there'd've they'd've we'd've who'd've wouldn't've y'all'll y'all'd've you'd've
      """
    var result: [String: String] = [:]
    for word in plain.split(whereSeparator: \.isWhitespace).map(String.init) {
      for index in word.indices where word[index] == "'" {
        var short = word
        short.remove(at: index)
        result[short] = word
      }
    }
    // What the published table has otherwise.
    let others = [
      "somebody'd": "somebodyd", "somebodyd've": "somebody'd've", "somebody'dve": "somebody'd've",
      "'ow'sat": "'ow's'at", "'ows'at": "'ow's'at", "ow's'at": "'ow's'at", "thats": "that's", "thered": "there'd",
    ]
    return result.merging(others) { $1 }
  }()
}
