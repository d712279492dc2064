import GristCore
import GristModel
import GristSources
import TestSupport
import Testing

@Suite("Text, against SentencePiece itself") struct TokenizerTests {
  let tokenizer: SentencePieceTokenizer
  let expected: JSONValue

  init() throws {
    tokenizer = try SentencePieceTokenizer(
      model: readFile(Fixtures.conformanceCheckpoint + "/tokenizer.model"), file: "tokenizer.model")
    expected = try Fixtures.json("text/tokenizer.json")
  }

  @Test("encoding: unicode, byte fallback, spaces, control characters")
  func encode() throws {
    let cases = try #require(expected["encode"]?.array)
    #expect(cases.count > 100)
    for item in cases {
      let text = try #require(item["text"]?.string)
      // Spelled-out special tokens become their ids, as upstream's tokenizer has it; SentencePiece alone knows none.
      if ["<s>", "</s>", "<unk>"].contains(where: { text.contains($0) }) { continue }
      #expect(try tokenizer.encode(text) == item["ids"]?.integers, "\(text.debugDescription)")
    }
  }

  @Test("what is not legacy begins with a blank at the start of a text or of a chunk, and behind no special token")
  func prefixes() throws {
    let model = try readFile(Fixtures.conformanceCheckpoint + "/tokenizer.model")
    func ids(_ prefixes: SentencePieceTokenizer.Prefixes, _ text: String, isStart: Bool = true) throws -> [Int] {
      try SentencePieceTokenizer(model: model, file: "m", prefixes: prefixes).encode(text, isStart: isStart)
    }
    // transformers 5.24's fast tokenizer of this file with "legacy": false.
    let begun = [
      1, 981, 975, 983, 985, 969, 980, 596, 948, 296, 292, 555, 66, 481, 1008, 975, 983, 985, 969, 980,
    ]
    let text = "<s>[INST] What is this? [/INST]"
    #expect(try ids(.text, text) == begun && ids(.chunks, text) == begun)
    #expect(try ids(.all, text) == [1, 481] + begun.dropFirst(2))
    // A chunk behind a picture begins anew for upstream, and goes on for transformers.
    let (anew, on) = (try ids(.all, "What"), try ids(.text, "What", isStart: false))
    #expect(try ids(.chunks, "What", isStart: false) == anew && ids(.text, "What") == anew && on != anew)
  }

  @Test("special tokens spelled out in the text become their ids")
  func specialTokens() throws {
    let hello = try tokenizer.encode("Hello")
    #expect(try tokenizer.encode("Hello</s>Hello") == hello + [2] + hello)
    #expect(try tokenizer.encode("<s>Hello<unk>") == [1] + hello + [0])
    #expect(try tokenizer.encode("") == [])
  }

  @Test("decoding, half characters and unknown ids included")
  func decode() throws {
    let cases = try #require(expected["decode"]?.array)
    for item in cases {
      let ids = item["ids"]?.integers ?? []
      // Ours drops BOS and EOS before decoding, as upstream does; in SentencePiece they part the bytes around them.
      if ids.contains(1) || ids.contains(2) { continue }
      let text = try tokenizer.decode(ids)
      #expect(text == item["text"]?.string, "\(ids)")
    }
    #expect(try tokenizer.decode([999_999, -5, 1, 2]) == "")
  }

  @Test("streaming shows what decoding gives, and never half a character")
  func streaming() throws {
    for item in try #require(expected["encode"]?.array) {
      let ids = item["ids"]?.integers ?? []
      var decoder = StreamingDecoder(tokenizer)
      var text = ""
      for id in ids {
        let piece = try decoder.append(id)
        #expect(!piece.contains("\u{FFFD}"))
        text += piece
      }
      text += try decoder.finish()
      #expect(text == (try tokenizer.decode(ids)))
    }
  }

  @Test("whole prompts")
  func prompts() throws {
    for item in try #require(expected["prompts"]?.array) {
      let history = (item["history"]?.array ?? []).compactMap { turn -> Conversation.Turn? in
        let texts = turn.array?.compactMap(\.string) ?? []
        return texts.count == 2 ? Conversation.Turn(user: texts[0], assistant: texts[1]) : nil
      }
      let conversation = try Conversation(
        history: history, message: #require(item["prompt"]?.string),
        hasImage: item["with_image"]?.bool ?? false)
      if let text = item["text"]?.string { #expect(try conversation.rendering(.builtIn(.vicuna)).text == text) }
      #expect(
        try conversation.inputIDs(tokenizer, .builtIn(.vicuna)) == item["input_ids"]?.integers,
        "\(conversation.message)")
    }
  }

  @Test("a prompt that spells out the image placeholder is refused with 64")
  func placeholder() {
    let error = #expect(throws: GristError.self) { _ = try Conversation(message: "an <image>", hasImage: true) }
    #expect(error?.code == .usage)
  }

  @Test("bytes that are no model are refused with 65")
  func damagedModel() {
    for bytes in [[], [1, 2, 3], [UInt8](repeating: 0xff, count: 1000)] {
      let error = #expect(throws: GristError.self) {
        _ = try SentencePieceTokenizer(model: Bytes(bytes), file: "t.model")
      }
      #expect(error?.code == .badData)
      #expect(error?.file == "t.model")
    }
  }
}
