import Foundation
import GristCore
import GristModel
import GristSources
import TestSupport
import Testing

/// What the library `tokenizers` makes of 10,000 lines: Tools/reference/write_tokenizers.py.
@Suite("Text, against tokenizers itself") struct TokenizerFileTests {
  static let names = ["byte-level", "llama-3", "sentencepiece-old", "sentencepiece"]

  private static func file(_ name: String) throws -> Bytes { try readFile(Fixtures.path("tokenizers/" + name)) }

  private func tokenizer(_ name: String) throws -> BytePairTokenizer {
    try BytePairTokenizer(tokenizerFile: Self.file(name + ".json"), file: "tokenizer.json")
  }

  private static let lines: [String] = {
    guard let bytes = try? file("lines.bin") else { return [] }
    return bytes.withUnsafeBytes { $0.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) }
      .map { String(decoding: $0, as: UTF8.self) }
  }()

  @Test("text, code, alphabets, emoji and what is no UTF-8: the same ids, and the same text of them", arguments: names)
  func lines(name: String) throws {
    let tokenizer = try tokenizer(name)
    let expected = try Fixtures.json("tokenizers/\(name)-expected.json")
    let lines = Self.lines
    #expect(lines.count == 10_000)
    let ids = try lines.map { tokenizer.prefix + (try tokenizer.encode($0)) }
    for (index, wanted) in try #require(expected["ids"]?.array).enumerated() {
      #expect(ids[index] == wanted.integers, "\(lines[index].debugDescription)")
    }
    let digests = try #require(expected["digests"]?.array)
    #expect(digests.count == 100)
    for (block, digest) in digests.enumerated() {
      let numbers = ids[block * 100..<(block + 1) * 100].flatMap { $0.map(UInt32.init) + [.max] }
      let bytes = numbers.flatMap { number in withUnsafeBytes(of: number.littleEndian) { Array($0) } }
      #expect(sha256(Bytes(bytes)) == digest.string, "lines from \(block * 100)")
    }
    let text = try ids.map { try tokenizer.decode($0) }.joined(separator: "\n")
    #expect(sha256(Bytes(Array(text.utf8))) == expected["decoded"]?.string)
  }

  @Test("ids drawn at random give the same text, half characters and all", arguments: names)
  func draws(name: String) throws {
    let tokenizer = try tokenizer(name)
    let draws = try #require(try Fixtures.json("tokenizers/\(name)-expected.json")["draws"]?.array)
    #expect(draws.count == 300)
    for draw in draws {
      let ids = try #require(draw["ids"]?.integers)
      let text = try tokenizer.decode(ids)
      #expect(Array(text.utf8) == draw["text"]?.string.map { Array($0.utf8) }, "\(ids)")
    }
    #expect(try tokenizer.decode([999_999, -5]) == "")
  }

  @Test("a prompt begins with what the post-processor puts first, and the text after a picture is no beginning")
  func prompts() throws {
    #expect(try tokenizer("byte-level").prefix == [])
    #expect(try tokenizer("llama-3").prefix == [1])
    let tokenizer = try tokenizer("sentencepiece")
    let conversation = try Conversation(message: "Hi", hasImage: true)
    let ids = try conversation.inputIDs(tokenizer, .builtIn(.llava))
    let image = try #require(ids.firstIndex(of: Conversation.imageID))
    #expect(ids[image + 1] == (try tokenizer.encode("\n", isStart: false)[0]))
    // As transformers has it, where the picture is a token of the text.
    let whole = try tokenizer.encode("USER: <image>\nHi ASSISTANT:")
    #expect(ids == [1] + whole.map { $0 == 1024 ? Conversation.imageID : $0 })
  }

  /// A file that is fine, for changes.
  private static let sound = """
    {"added_tokens": [{"id": 3, "content": "<s>", "special": true}], "normalizer": null, "pre_tokenizer": null,
     "post_processor": null, "decoder": {"type": "Fuse"},
     "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}}
    """

  @Test("byte pairs by hand")
  func byHand() throws {
    let tokenizer = try BytePairTokenizer(tokenizerFile: Bytes(Array(Self.sound.utf8)), file: "t.json")
    #expect(try tokenizer.encode("aabab<s>xb") == [0, 2, 2, 3, 1])
    #expect(try tokenizer.decode([0, 2, 3, 1]) == "aabb")
    #expect(tokenizer.vocabularySize == 4 && tokenizer.end == nil)
  }

  static let faults: [(change: (String, String), says: String)] = [
    (("\"BPE\"", "\"Unigram\""), "\"model.type\" must be BPE"),
    (("\"ab\": 2", "\"ab\": -2"), "\"model.vocab.ab\" must be an id"),
    (("[[\"a\", \"b\"]]", "[[\"a\", \"c\"]]"), "a merge names a piece that the tokenizer's vocabulary lacks"),
    (("[[\"a\", \"b\"]]", "[\"a b c\"]"), "\"model.merges\" must hold pairs"),
    (("\"pre_tokenizer\": null", "\"pre_tokenizer\": {\"type\": \"Whitespace\"}"), "\"pre_tokenizer.type\" must be"),
    (
      (
        "\"pre_tokenizer\": null",
        "\"pre_tokenizer\": {\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \"x\"}}"
      ),
      "\"pre_tokenizer.pattern.Regex\" must be GPT-2's"
    ),
    (("\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}"), "\"normalizer.type\" must be"),
    (
      ("\"post_processor\": null", "\"post_processor\": {\"type\": \"BertProcessing\"}"),
      "\"post_processor.type\" must be"
    ),
    (("\"Fuse\"", "\"WordPiece\""), "\"decoder.type\" must be"),
    (("\"model\"", "\"truncation\": {}, \"model\""), "\"truncation\" must be null"),
    (("{\"added", "[{\"added"), "bad JSON"),
  ]

  @Test("what it cannot do, or makes no sense, is refused by name", arguments: faults)
  func refused(fault: (change: (String, String), says: String)) throws {
    let text = Self.sound.replacingOccurrences(of: fault.change.0, with: fault.change.1)
    #expect(text != Self.sound)
    let error = try #require(throws: GristError.self) {
      _ = try BytePairTokenizer(tokenizerFile: Bytes(Array(text.utf8)), file: "t.json")
    }
    #expect(error.code == .badData && error.file == "t.json" && error.what.contains(fault.says), "\(error)")
  }
}
