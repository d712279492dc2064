import GristCore
import GristSources
import TestSupport
import Testing

/// Every rule of the safetensors reader, as a file of literal bytes that breaks it.
@Suite("Safetensors: each broken rule is refused by name") struct SafetensorsRuleTests {
  @Test("empty file")
  func emptyFile() {
    #expect(
      refusal(of: []) == Refusal(what: "not a safetensors file", offset: 0, found: "an empty file"))
  }

  @Test("header too short")
  func headerTooShort() {
    #expect(
      refusal(of: [2, 0, 0, 0, 0, 0, 0])
        == Refusal(what: "too short for a safetensors header", offset: 0, found: "7 bytes"))
  }

  @Test("header length beyond the file")
  func headerBeyondFile() {
    #expect(
      refusal(of: safetensors("{}", length: 3))
        == Refusal(
          what: "the header ends beyond the file", offset: 0, found: "a header of 3 bytes in a file of 10"))
  }

  @Test("header length over the limit", arguments: [100_000_001, UInt64(Int64.max), .max])
  func headerOverLimit(length: UInt64) {
    #expect(
      refusal(of: safetensors("{}", length: length))
        == Refusal(
          what: "the header is longer than the 100000000 bytes that safetensors allows", offset: 0,
          found: "\(length) bytes"))
  }

  @Test("header length at the limit is only too long for the file")
  func headerAtLimit() {
    #expect(refusal(of: safetensors("{}", length: 100_000_000))?.what == "the header ends beyond the file")
  }

  @Test("header that does not start with a brace", arguments: ["[]", " {}", "\"x\"", "\u{feff}{}"])
  func headerStart(header: String) {
    #expect(refusal(of: safetensors(header)) == Refusal(what: "the header must start with '{'", offset: 8))
  }

  @Test("header of no bytes")
  func headerEmpty() {
    #expect(refusal(of: safetensors("")) == Refusal(what: "the header must start with '{'", offset: 8))
  }

  @Test("header that is not JSON")
  func headerNotJSON() {
    #expect(
      refusal(of: safetensors(#"{"a":}"#))
        == Refusal(what: "bad JSON: a value was expected", offset: 13, found: "'}'"))
    #expect(
      refusal(of: safetensors("{"))
        == Refusal(what: "bad JSON: a member's name was expected", offset: 9, found: "the end"))
  }

  @Test("header that is not UTF-8")
  func headerNotUTF8() {
    let header = Array(#"{""#.utf8) + [0xff] + Array(#"":1}"#.utf8)
    #expect(refusal(of: safetensors(header))?.what == "bad JSON: a string is not valid UTF-8")
    #expect(refusal(of: safetensors(header))?.offset == 9)
  }

  @Test("bytes after the header's JSON that are not spaces")
  func headerTrailing() {
    #expect(refusal(of: safetensors("{}\0"))?.what == "bad JSON: something follows the document")
    #expect(refusal(of: safetensors("{}\0"))?.offset == 10)
  }

  @Test("duplicate tensor name")
  func duplicateName() {
    let header = "{" + entry("w", "U8", [1], 0, 1) + "," + entry("w", "U8", [1], 1, 2) + "}"
    let refusal = refusal(of: safetensors(header, data: 2))
    #expect(refusal?.what == "bad JSON: the name \"w\" appears twice in one object")
    #expect(refusal?.offset == UInt64(8 + 2 + entry("w", "U8", [1], 0, 1).utf8.count))
  }

  @Test("duplicate field of a tensor")
  func duplicateField() {
    let header = #"{"w":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}"#
    #expect(
      refusal(of: safetensors(header, data: 1))?.what == "bad JSON: the name \"dtype\" appears twice in one object")
  }

  @Test("unknown dtype", arguments: ["F8_E3M4", "U128", "I24", "BF8", "f32", "F31", ""])
  func unknownDtype(dtype: String) {
    let header = "{" + entry("w", dtype, [4], 0, 4) + "}"
    #expect(
      refusal(of: safetensors(header, data: 4))
        == Refusal(what: "a dtype that is not supported", tensor: "w", offset: 8, found: dtype))
  }

  @Test(
    "Fault 13: every dtype of the format is carried byte for byte",
    arguments: [
      ("BOOL", 8), ("F4", 4), ("F6_E2M3", 6), ("F6_E3M2", 6), ("U8", 8), ("I8", 8), ("F8_E5M2", 8), ("F8_E4M3", 8),
      ("F8_E8M0", 8), ("F8_E4M3FNUZ", 8), ("F8_E5M2FNUZ", 8), ("I16", 16), ("U16", 16), ("F16", 16), ("BF16", 16),
      ("I32", 32), ("U32", 32), ("F32", 32), ("C64", 64), ("F64", 64), ("I64", 64), ("U64", 64),
    ])
  func everyDtype(dtype: String, bits: Int) throws {
    let length = 8 * bits / 8
    let bytes = safetensors("{" + entry("w", dtype, [2, 4], 0, length) + "}", data: length)
    let file = try SafetensorsFile(Bytes(bytes), path: "w.safetensors")
    #expect(file.tensors.map(\.elementType.bitCount) == [bits])
    #expect(try file.tensors[0].bytes().array == Array(bytes.suffix(length)))
  }

  @Test("elements of less than a byte that end within one")
  func halfByte() {
    #expect(
      refusal(of: safetensors("{" + entry("w", "F4", [3], 0, 2) + "}", data: 2))
        == Refusal(what: "the elements do not end with a whole byte", tensor: "w", offset: 8, found: "F4 [3]"))
  }

  @Test("Fault 12: names that only Unicode calls equal are two tensors")
  func namesAreBytes() throws {
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}")
    let bytes = safetensors(
      "{" + entry(composed, "U8", [1], 0, 1) + "," + entry(decomposed, "U8", [1], 1, 2) + "}", data: 2)
    let file = try SafetensorsFile(Bytes(bytes), path: "w.safetensors")
    #expect(file.tensors.map { Array($0.name.utf8) } == [Array(composed.utf8), Array(decomposed.utf8)])
  }

  @Test("dtype of the wrong type")
  func dtypeNotString() {
    #expect(
      refusal(of: safetensors(#"{"w":{"dtype":4,"shape":[1],"data_offsets":[0,1]}}"#, data: 1))
        == Refusal(what: "\"dtype\" must be a string", tensor: "w", offset: 8, found: "4"))
  }

  @Test("missing dtype")
  func missingDtype() {
    #expect(
      refusal(of: safetensors(#"{"w":{"shape":[1],"data_offsets":[0,1]}}"#, data: 1))
        == Refusal(what: "\"dtype\" must be a string", tensor: "w", offset: 8, found: "nothing"))
  }

  @Test("missing shape")
  func missingShape() {
    #expect(
      refusal(of: safetensors(#"{"w":{"dtype":"U8","data_offsets":[0,1]}}"#, data: 1))
        == Refusal(what: "\"shape\" must be an array of whole numbers", tensor: "w", offset: 8, found: "nothing"))
  }

  @Test("missing data_offsets")
  func missingOffsets() {
    #expect(
      refusal(of: safetensors(#"{"w":{"dtype":"U8","shape":[1]}}"#, data: 1))
        == Refusal(
          what: "\"data_offsets\" must be an array of whole numbers", tensor: "w", offset: 8, found: "nothing"))
  }

  @Test("entry that is no object", arguments: [("[]", "an array"), ("null", "null"), ("1", "an integer")])
  func entryNotObject(value: String, kind: String) {
    #expect(
      refusal(of: safetensors(#"{"w":\#(value)}"#))
        == Refusal(what: "a tensor's entry must be an object", tensor: "w", offset: 8, found: kind))
  }

  @Test(
    "shape with a number that is no whole one: negative, fractional, huge, a string, null",
    arguments: ["[-1]", "[1.5]", "[1.0]", "[9223372036854775808]", "[1e3]", #"["1"]"#, "[null]", "{}", "1", "null"])
  func shapeNumbers(shape: String) {
    let refusal = refusal(of: safetensors(#"{"w":{"dtype":"U8","shape":\#(shape),"data_offsets":[0,1]}}"#, data: 1))
    #expect(refusal?.what == "\"shape\" must be an array of whole numbers")
    #expect(refusal?.tensor == "w")
    #expect(refusal?.offset == 8)
  }

  @Test(
    "data_offsets with a number that is no whole one",
    arguments: ["[-1,1]", "[0,1.5]", "[0,18446744073709551615]", "7"])
  func offsetNumbers(range: String) {
    let refusal = refusal(of: safetensors(#"{"w":{"dtype":"U8","shape":[1],"data_offsets":\#(range)}}"#, data: 1))
    #expect(refusal?.what == "\"data_offsets\" must be an array of whole numbers")
  }

  @Test(
    "shape that overflows",
    arguments: [[Int.max, 2], [1 << 32, 1 << 32], [1 << 62, 1 << 62, 0], [Int.max, Int.max, Int.max]])
  func shapeOverflow(shape: [Int]) {
    #expect(
      refusal(of: safetensors("{" + entry("w", "U8", shape, 0, 1) + "}", data: 1))
        == Refusal(what: "the shape is too large", tensor: "w", offset: 8, found: "\(shape)"))
  }

  @Test("shape whose byte count overflows")
  func shapeBytesOverflow() {
    #expect(
      refusal(of: safetensors("{" + entry("w", "F64", [1 << 61], 0, 8) + "}", data: 8))
        == Refusal(what: "the shape is too large", tensor: "w", offset: 8, found: "[2305843009213693952]"))
  }

  @Test("range reversed")
  func rangeReversed() {
    #expect(
      refusal(of: safetensors("{" + entry("w", "U8", [1], 1, 0) + "}", data: 1))
        == Refusal(what: "\"data_offsets\" must be a start and an end", tensor: "w", offset: 8, found: "[1,0]"))
  }

  @Test("range of one or three numbers", arguments: ["[0]", "[0,1,2]", "[]"])
  func rangeCount(range: String) {
    #expect(
      refusal(of: safetensors(#"{"w":{"dtype":"U8","shape":[1],"data_offsets":\#(range)}}"#, data: 1))
        == Refusal(what: "\"data_offsets\" must be a start and an end", tensor: "w", offset: 8, found: range))
  }

  @Test("range beyond the file", arguments: [5, Int.max])
  func rangeBeyondFile(end: Int) {
    let header = "{" + entry("w", "U8", [end], 0, end) + "}"
    #expect(
      refusal(of: safetensors(header, data: 4))
        == Refusal(
          what: "the data ends beyond the file", tensor: "w", offset: UInt64(8 + header.utf8.count),
          found: "an end at byte \(end) of 4 bytes of data"))
  }

  @Test("range that starts beyond the file too")
  func rangeStartBeyondFile() {
    let header = "{" + entry("w", "U8", [0], .max, .max) + "}"
    #expect(refusal(of: safetensors(header, data: 4))?.what == "the data ends beyond the file")
  }

  @Test("shape × dtype ≠ range", arguments: [("F32", [1]), ("F16", [2, 2]), ("U8", [7]), ("U8", [])])
  func sizeMismatch(dtype: String, shape: [Int]) {
    let header = "{" + entry("w", dtype, shape, 0, 6) + "}"
    let refusal = refusal(of: safetensors(header, data: 6))
    #expect(refusal?.what == "shape and dtype do not fit the byte range")
    #expect(refusal?.tensor == "w")
    #expect(refusal?.offset == UInt64(8 + header.utf8.count))
    #expect(refusal?.found?.hasSuffix("the range holds 6") == true)
  }

  @Test("overlap")
  func overlap() {
    let header = "{" + entry("a", "U8", [4], 0, 4) + "," + entry("b", "U8", [4], 3, 7) + "}"
    let start = 8 + header.utf8.count
    #expect(
      refusal(of: safetensors(header, data: 7))
        == Refusal(
          what: "two tensors overlap", tensor: "b", offset: UInt64(start + 3),
          found: "the data before it ends at byte \(start + 4)"))
  }

  @Test("two tensors in the same place")
  func samePlace() {
    let header = "{" + entry("a", "U8", [4], 0, 4) + "," + entry("b", "U8", [4], 0, 4) + "}"
    #expect(refusal(of: safetensors(header, data: 4))?.what == "two tensors overlap")
  }

  @Test("hole")
  func hole() {
    let header = "{" + entry("a", "U8", [2], 0, 2) + "," + entry("b", "U8", [2], 3, 5) + "}"
    let start = 8 + header.utf8.count
    #expect(
      refusal(of: safetensors(header, data: 5))
        == Refusal(
          what: "bytes before the tensor belong to none", tensor: "b", offset: UInt64(start + 3),
          found: "the data before it ends at byte \(start + 2)"))
  }

  @Test("hole before the first tensor")
  func holeAtStart() {
    let header = "{" + entry("a", "U8", [2], 1, 3) + "}"
    #expect(refusal(of: safetensors(header, data: 3))?.what == "bytes before the tensor belong to none")
  }

  @Test("trailing bytes")
  func trailingBytes() {
    let header = "{" + entry("a", "U8", [2], 0, 2) + "}"
    #expect(
      refusal(of: safetensors(header, data: 3))
        == Refusal(
          what: "bytes after the last tensor belong to none", offset: UInt64(8 + header.utf8.count + 2),
          found: "1 bytes"))
    #expect(refusal(of: safetensors("{}", data: 1))?.what == "bytes after the last tensor belong to none")
  }

  @Test("metadata that is no object")
  func metadataKind() {
    #expect(
      refusal(of: safetensors(#"{"__metadata__":[]}"#))
        == Refusal(what: "\"__metadata__\" must be an object of strings", offset: 8, found: "an array"))
  }

  @Test("metadata that are not strings")
  func metadataNotStrings() {
    #expect(
      refusal(of: safetensors(#"{"__metadata__":{"format":"pt","n":1}}"#))
        == Refusal(what: "\"__metadata__\" must hold strings only", offset: 8, found: "an integer under \"n\""))
  }

  @Test("a missing file is 66, a folder 65")
  func missingFile() throws {
    let folder = try TemporaryFolder()
    let error = #expect(throws: GristError.self) { _ = try SafetensorsFile(path: folder.file("x.safetensors")) }
    #expect(error?.code == .missingInput)
    let other = #expect(throws: GristError.self) { _ = try SafetensorsFile(path: folder.path) }
    #expect(other?.code == .badData)
  }

  @Test("truncated anywhere, a file is refused")
  func truncatedAnywhere() throws {
    let header = "{" + entry("a", "F16", [2], 0, 4) + "," + entry("b", "U8", [3], 4, 7) + "}"
    let whole = safetensors(header, data: 7)
    _ = try SafetensorsFile(Bytes(whole), path: "")
    for length in 0..<whole.count { _ = refusal(of: Array(whole[..<length])) }
  }
}
