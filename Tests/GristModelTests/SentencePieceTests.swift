import GristCore
import GristModel
import GristSources
import TestSupport
import Testing

/// SentencePiece's inference, written here, against the library: Tools/reference/write_sentencepiece.py.
@Suite("SentencePiece models of every kind") struct SentencePieceTests {
  static let names = [
    "unigram-nfkc", "unigram-bytes", "unigram-unused", "bpe-bytes", "bpe-blanks-behind", "bpe-no-prefix", "bpe-unused",
    "characters", "words",
  ]

  private static func file(_ name: String) throws -> Bytes { try readFile(Fixtures.path("sentencepiece/" + name)) }

  private static let lines: [String] = {
    guard let bytes = try? readFile(Fixtures.path("tokenizers/lines.bin")) else { return [] }
    return bytes.withUnsafeBytes { $0.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) }
      .map { String(decoding: $0, as: UTF8.self) }
  }()

  @Test("19.16: 10,000 lines become the library's ids, and those its text", arguments: names)
  func lines(name: String) throws {
    let tokenizer = try SentencePieceTokenizer(model: Self.file("\(name).model"), file: name)
    let expected = try Fixtures.json("sentencepiece/\(name)-expected.json")
    #expect(tokenizer.vocabularySize == expected["pieces"]?.integer)
    let lines = Self.lines
    #expect(lines.count == 10_000)
    let ids = try lines.map { try tokenizer.encode($0) }
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
    for draw in try #require(expected["draws"]?.array) {
      #expect(try tokenizer.decode(#require(draw["ids"]?.integers)) == draw["text"]?.string, "\(draw)")
    }
    let text = try ids.map { try tokenizer.decode($0) }.joined(separator: "\n")
    #expect(sha256(Bytes(Array(text.utf8))) == expected["decoded"]?.string)
  }

  @Test("19.4: streamed, the text is the same, whatever the ids", arguments: names)
  func streamed(name: String) throws {
    let tokenizer = try SentencePieceTokenizer(model: Self.file("\(name).model"), file: name)
    for draw in try #require(Fixtures.json("sentencepiece/\(name)-expected.json")["draws"]?.array) {
      let ids = try #require(draw["ids"]?.integers)
      var decoder = StreamingDecoder(tokenizer)
      let text = try ids.map { try decoder.append($0) }.joined() + decoder.finish()
      #expect(text == draw["text"]?.string, "\(ids)")
    }
  }

  @Test("19.16: a damaged model is refused or read, and never read beyond", arguments: ["unigram-nfkc", "bpe-bytes"])
  func mutations(name: String) throws {
    let model = try Self.file("\(name).model").array
    var random = SplitMix(state: 16)
    for round in 0..<400 {
      var bytes = model
      switch round % 4 {
      case 0: bytes.removeLast(Int(random.next() % UInt64(bytes.count)))
      case 1:
        // In the map of characters, which comes last.
        for _ in 0..<8 {
          bytes[bytes.count - 1 - Int(random.next() % 60_000) % bytes.count] = UInt8(random.next() & 0xff)
        }
      default:
        for _ in 0..<4 { bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(random.next() & 0xff) }
      }
      do {
        let tokenizer = try SentencePieceTokenizer(model: Bytes(bytes), file: name)
        for line in Self.lines[(round * 7)..<(round * 7 + 5)] {
          let ids = try tokenizer.encode(line)
          #expect(ids.allSatisfy { (0..<tokenizer.vocabularySize).contains($0) })
          _ = try tokenizer.decode(ids)
        }
      } catch let error as GristError {
        #expect(error.code == .badData && error.file == name, "\(error)")
      }
    }
  }

  @Test("19.16: a map of characters that points outside of itself is an error of the tokenizer, not of the process")
  func craftedMap() throws {
    func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] {
      var length = bytes.count
      var varint: [UInt8] = []
      while length > 127 {
        varint.append(UInt8(length & 127 | 128))
        length >>= 7
      }
      return [number << 3 | 2] + varint + [UInt8(length)] + bytes
    }
    func map(_ units: [UInt32], _ texts: [UInt8]) -> [UInt8] {
      let trie = units.flatMap { unit in (0..<4).map { UInt8(unit >> (8 * $0) & 0xff) } }
      let length = (0..<4).map { UInt8(trie.count >> (8 * $0) & 0xff) }
      return field(3, field(2, length + trie + texts))
    }
    // From the root any byte leads to one leaf, whose value is the given one.
    func leading(to value: UInt32) -> [UInt32] {
      var units = [UInt32](repeating: 0, count: 2048)
      units[0] = 256 << 10
      for byte in UInt32(0)..<256 { units[Int(256 ^ byte)] = byte | 1 << 8 | (512 ^ (256 ^ byte)) << 10 }
      units[512] = 1 << 31 | value
      return units
    }
    let model = try Self.file("bpe-bytes.model").array
    for crafted in [
      map([0x7fff_ffff], [0x78, 0]), map([0x1f_ffff << 10 | 1 << 9], [0x78, 0]),
      map(leading(to: 0x7fff_fff0), [0x78, 0]),
      map(leading(to: 60), [0x78, 0]), map(leading(to: 0), [0x78]),
    ] {
      let error = #expect(throws: GristError.self) {
        try SentencePieceTokenizer(model: Bytes(model + crafted), file: "t.model").encode("hello")
      }
      #expect(error?.what.contains("points outside of itself") == true && error?.file == "t.model")
    }
    // And one that does not changes every byte.
    let sound = try SentencePieceTokenizer(model: Bytes(model + map(leading(to: 0), [0x78, 0])), file: "t.model")
    #expect(try sound.decode(sound.encode("hello")) == "xxxxx")
  }
}

/// Steele, Lea & Flood 2014.
private struct SplitMix {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
