import GristCore
import GristModel
import GristSources
import TestSupport
import Testing

/// Text that means something is compared byte by byte. The numbers are those of Tests/README.md.
@Suite("Nothing silent: characters") struct SilentTextTests {
  let tokenizer: SentencePieceTokenizer

  init() throws {
    tokenizer = try SentencePieceTokenizer(
      model: readFile(Fixtures.conformanceCheckpoint + "/tokenizer.model"), file: "tokenizer.model")
  }

  /// What joins the character before it: a combining accent, a joiner, a variation selector.
  static let joining: [Unicode.Scalar] = ["\u{301}", "\u{200d}", "\u{fe0f}"]

  @Test("19.4: a placeholder is one, whatever stands behind it", arguments: joining)
  func placeholder(scalar: Unicode.Scalar) throws {
    #expect(throws: GristError.self) { try Conversation(message: "see <image>\(scalar)", hasImage: true) }
  }

  @Test("19.4: special tokens are found before what joins them", arguments: joining)
  func specialTokens(scalar: Unicode.Scalar) throws {
    let ids = try tokenizer.encode("a</s>\(scalar)")
    #expect(ids.contains(2), "\(ids)")
  }

  @Test("19.4: a character that reaches over tokens is not lost when it is streamed")
  func graphemeOverTokens() throws {
    // U+0600 goes before any character and joins it; this one is spelled in three bytes, a token each.
    let ids = try tokenizer.encode("\u{600}\u{4f60}\u{4f60}!")
    var decoder = StreamingDecoder(tokenizer)
    var pieces: [String] = []
    for id in ids { pieces.append(try decoder.append(id)) }
    let text = try pieces.joined() + decoder.finish()
    #expect(Array(text.unicodeScalars) == Array(try tokenizer.decode(ids).unicodeScalars))
    #expect(text.unicodeScalars.contains("\u{4f60}") && !text.unicodeScalars.contains("\u{fffd}"))
  }

  @Test("19.15: streaming costs the same for every token")
  func linearStreaming() throws {
    // Counted, not timed: a decoder that is asked for all ids so far would be asked for millions.
    let counting = CountingTokenizer(tokenizer)
    var decoder = StreamingDecoder(counting)
    let ids = try tokenizer.encode(String(repeating: "Some words, and some more of them. ", count: 200))
    for id in ids { _ = try decoder.append(id) }
    #expect(ids.count > 2000 && counting.decoded < 12 * ids.count, "\(counting.decoded) for \(ids.count)")
  }
}

/// Counts the ids that it is asked to decode.
private final class CountingTokenizer: Tokenizer, @unchecked Sendable {
  private let tokenizer: any Tokenizer
  private(set) var decoded = 0
  var vocabularySize: Int { tokenizer.vocabularySize }
  var prefix: [Int] { tokenizer.prefix }
  var end: Int? { tokenizer.end }

  init(_ tokenizer: any Tokenizer) { self.tokenizer = tokenizer }

  func encode(_ text: String, isStart: Bool) throws -> [Int] { try tokenizer.encode(text, isStart: isStart) }

  func decode(_ ids: [Int]) throws -> String {
    decoded += ids.count
    return try tokenizer.decode(ids)
  }
}
