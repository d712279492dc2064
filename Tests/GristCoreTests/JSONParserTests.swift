import GristCore
import Testing

/// A document that must be refused: its bytes, the sentence, and the byte at which it stops making sense.
struct BadJSON: Sendable, CustomTestStringConvertible {
  let name: String
  let bytes: [UInt8]
  let what: String
  let offset: UInt64
  let found: String?

  init(_ name: String, _ text: String, _ what: String, at offset: UInt64, found: String? = nil) {
    self.init(name, Array(text.utf8), what, at: offset, found: found)
  }

  init(_ name: String, _ bytes: [UInt8], _ what: String, at offset: UInt64, found: String? = nil) {
    (self.name, self.bytes, self.what, self.offset, self.found) = (name, bytes, what, offset, found)
  }

  var testDescription: String { name }
}

@Suite("JSON parser") struct JSONParserTests {
  static let bad: [BadJSON] = [
    BadJSON("nothing at all", "", "a value was expected", at: 0, found: "the end"),
    BadJSON("spaces only", " \n", "a value was expected", at: 2, found: "the end"),
    BadJSON("byte order mark", [0xef, 0xbb, 0xbf, 0x31], "a value was expected", at: 0, found: "byte 0xef"),
    BadJSON("UTF-16", [0x7b, 0, 0x7d, 0], "a member's name was expected", at: 1, found: "byte 0x0"),
    BadJSON("duplicate name", #"{"a":1,"b":{"a":2},"a":3}"#, #"the name "a" appears twice in one object"#, at: 19),
    BadJSON("duplicate name by escape", #"{"a":1,"\u0061":3}"#, #"the name "a" appears twice in one object"#, at: 7),
    BadJSON("invalid UTF-8", [0x5b, 0x22, 0x61, 0xff, 0x22, 0x5d], "a string is not valid UTF-8", at: 1),
    BadJSON("overlong UTF-8", [0x22, 0xc0, 0x80, 0x22], "a string is not valid UTF-8", at: 0),
    BadJSON("surrogate in UTF-8", [0x22, 0xed, 0xa0, 0x80, 0x22], "a string is not valid UTF-8", at: 0),
    BadJSON("truncated UTF-8", [0x22, 0xe2, 0x82, 0x22], "a string is not valid UTF-8", at: 0),
    BadJSON(
      "UTF-8 cut in two by an escape", [0x22, 0xc3, 0x5c, 0x6e, 0xa9, 0x22], "a string is not valid UTF-8", at: 0),
    BadJSON(
      "line break behind an escape", "[\"a\\tb\nc\"]", "a control character stands in a string", at: 6,
      found: "byte 0xa"),
    BadJSON("lone high surrogate", #""\ud800""#, "a surrogate stands alone", at: 3),
    BadJSON("lone low surrogate", #"["\udc00"]"#, "a surrogate stands alone", at: 4),
    BadJSON("two high surrogates", #""\ud800\ud800""#, "a surrogate stands alone", at: 3),
    BadJSON("high surrogate before another escape", #""\ud800\n""#, "a surrogate stands alone", at: 3),
    BadJSON("line break in a string", "\"a\nb\"", "a control character stands in a string", at: 2, found: "byte 0xa"),
    BadJSON("NUL in a string", [0x22, 0, 0x22], "a control character stands in a string", at: 1, found: "byte 0x0"),
    BadJSON("unknown escape", #""\x41""#, "an unknown escape", at: 2, found: "'x'"),
    BadJSON("short hexadecimal", #""\u12g4""#, "four hexadecimal digits were expected", at: 5, found: "'g'"),
    BadJSON("escape cut off", #""\"#, "a string has no end", at: 2, found: "the end"),
    BadJSON("hexadecimal cut off", #""\u12"#, "four hexadecimal digits were expected", at: 5, found: "the end"),
    BadJSON("string without end", #"{"a":"b"#, "a string has no end", at: 5),
    BadJSON("leading zero", "[01]", "a number starts with a needless zero", at: 1),
    BadJSON("negative leading zero", "-00", "a number starts with a needless zero", at: 0),
    BadJSON("plus sign", "+1", "a value was expected", at: 0, found: "'+'"),
    BadJSON("minus alone", "[-]", "a value was expected", at: 1),
    BadJSON("no digit before the point", ".5", "a value was expected", at: 0),
    BadJSON("no digit after the point", "1.", "digits were expected", at: 2, found: "the end"),
    BadJSON("no digit in the exponent", "1e+", "digits were expected", at: 3, found: "the end"),
    BadJSON("number too large", "[1e309]", "a number is too large", at: 1),
    BadJSON("negative number too large", "-1e400", "a number is too large", at: 0),
    BadJSON("hexadecimal number", "0x10", "something follows the document", at: 1, found: "'x'"),
    BadJSON("NaN", "NaN", "a value was expected", at: 0),
    BadJSON("Infinity", "-Infinity", "a value was expected", at: 0),
    BadJSON("misspelt literal", "[trve]", "a value was expected", at: 1, found: "'t'"),
    BadJSON("literal cut off", "nul", "a value was expected", at: 0, found: "'n'"),
    BadJSON("single quotes", "{'a':1}", "a member's name was expected", at: 1, found: "'''"),
    BadJSON("name that is no string", "{1:2}", "a member's name was expected", at: 1),
    BadJSON("no colon", #"{"a" 1}"#, "a colon was expected", at: 5, found: "'1'"),
    BadJSON("no comma in an object", #"{"a":1 "b":2}"#, "a comma or a closing brace was expected", at: 7),
    BadJSON("no comma in an array", "[1 2]", "a comma or a closing bracket was expected", at: 3),
    BadJSON("trailing comma in an object", #"{"a":1,}"#, "a member's name was expected", at: 7, found: "'}'"),
    BadJSON("trailing comma in an array", "[1,]", "a value was expected", at: 3, found: "']'"),
    BadJSON("wrong bracket", "[1}", "a comma or a closing bracket was expected", at: 2, found: "'}'"),
    BadJSON("object without end", #"{"a":1"#, "a comma or a closing brace was expected", at: 6, found: "the end"),
    BadJSON("array without end", "[1", "a comma or a closing bracket was expected", at: 2, found: "the end"),
    BadJSON("trailing bytes", "{} {}", "something follows the document", at: 3, found: "'{'"),
    BadJSON("trailing NUL", [0x31, 0], "something follows the document", at: 1, found: "byte 0x0"),
    BadJSON("comment", "1 // one", "something follows the document", at: 2, found: "'/'"),
    BadJSON("form feed between tokens", "[\u{0c}1]", "a value was expected", at: 1, found: "byte 0xc"),
    BadJSON(
      "129 levels", String(repeating: "[", count: 129) + String(repeating: "]", count: 129),
      "nested deeper than 128 levels", at: 128),
    BadJSON("a million levels", String(repeating: "[", count: 1_000_000), "nested deeper than 128 levels", at: 128),
  ]

  @Test("long lists come out whole", arguments: [65_535, 65_536, 65_537, 200_001])
  func longLists(count: Int) throws {
    let text =
      "[" + (0..<count).map { $0 % 3 == 0 ? "[]" : $0 % 3 == 1 ? "\($0)" : "\"\($0)\"" }.joined(separator: ",") + "]"
    let list = try #require(JSONValue.parse(text).array)
    #expect(list.count == count)
    for (index, value) in list.enumerated() {
      #expect(value == (index % 3 == 0 ? [] : index % 3 == 1 ? JSONValue(index) : JSONValue("\(index)")))
    }
  }

  @Test("is refused, with the byte where it goes wrong", arguments: bad)
  func refused(_ document: BadJSON) {
    let error = #expect(throws: GristError.self) { _ = try JSONValue.parse(Bytes(document.bytes)) }
    #expect(error?.code == .badData)
    #expect(error?.what == "bad JSON: " + document.what)
    #expect(error?.offset == document.offset)
    if let found = document.found { #expect(error?.found == found) }
  }

  @Test("truncated anywhere, a document is refused")
  func truncatedAnywhere() throws {
    let whole = Array(#"{"a":[1.5e3,true,null,"x\u00e9\ud83d\ude00"],"b":{"c":-0.25,"d":[]}}"#.utf8)
    _ = try JSONValue.parse(Bytes(whole))
    for length in 0..<whole.count {
      let error = #expect(throws: GristError.self, "\(length) bytes") {
        _ = try JSONValue.parse(Bytes(Array(whole[..<length])))
      }
      #expect((error?.offset ?? 0) <= UInt64(length))
    }
  }

  @Test("128 levels are read")
  func deepest() throws {
    _ = try JSONValue.parse(String(repeating: "[", count: 128) + String(repeating: "]", count: 128))
    // Levels are counted by depth, not by the number of containers.
    _ = try JSONValue.parse("[" + Array(repeating: "[]", count: 1000).joined(separator: ",") + "]")
  }

  @Test("integers stay exact to the ends of Int64, beyond they become doubles")
  func integers() throws {
    #expect(try JSONValue.parse("9223372036854775807") == .integer(.max))
    #expect(try JSONValue.parse("-9223372036854775808") == .integer(.min))
    #expect(try JSONValue.parse("9007199254740993") == .integer(9_007_199_254_740_993))
    #expect(try JSONValue.parse("9223372036854775808") == .number(9_223_372_036_854_775_808))
    #expect(try JSONValue.parse("9223372036854775808").integer == nil)
    #expect(try JSONValue.parse("2.0").integer == 2)
    #expect(try JSONValue.parse("2.5").integer == nil)
  }

  @Test("doubles at the edges")
  func doubles() throws {
    #expect(try JSONValue.parse("1.7976931348623157e308") == .number(.greatestFiniteMagnitude))
    #expect(try JSONValue.parse("5e-324") == .number(.leastNonzeroMagnitude))
    #expect(try JSONValue.parse("1e-400").double == 0)
    #expect(try JSONValue.parse("-0.0").double?.sign == .minus)
    #expect(try JSONValue.parse("1E+2") == .number(100))
  }

  @Test("strings: every escape, surrogate pairs, and what needs none")
  func strings() throws {
    #expect(try JSONValue.parse(#""\"\\\/\b\f\n\r\t\u0041""#) == .string("\"\\/\u{8}\u{c}\n\r\tA"))
    #expect(try JSONValue.parse(#""\ud83d\uDE00""#) == .string("😀"))
    #expect(try JSONValue.parse("\"\u{7f}é\u{10ffff}\"") == .string("\u{7f}é\u{10ffff}"))
    #expect(try JSONValue.parse(#""\u0000""#) == .string("\0"))
    #expect(try JSONValue.parse(#""""#) == .string(""))
    #expect(try JSONValue.parse(#""before\nbetween é\u0041after""#) == .string("before\nbetween éAafter"))
  }

  @Test("members keep their order")
  func order() throws {
    #expect(try JSONValue.parse(#"{"z":1,"a":2,"m":3}"#).object?.names == ["z", "a", "m"])
  }

  @Test("19.20: more values than a document of its length has use for", arguments: ["0,", "[],"])
  func tooManyValues(value: String) {
    func document(_ count: Int) -> Bytes {
      Bytes(Array("[".utf8) + (0..<count).flatMap { _ in Array(value.utf8) } + Array("0]".utf8))
    }
    #expect(throws: Never.self) { try JSONValue.parse(document(900_000)) }
    let error = #expect(throws: GristError.self) { try JSONValue.parse(document(2_500_000)) }
    #expect(error?.what == "bad JSON: more values than a document of its length has use for")
  }
}
