import GristCore
import Testing

@Suite("JSON writer") struct JSONWriterTests {
  static let documents: [JSONValue] = [
    nil, true, false, 0, -1, .integer(.max), .integer(.min), .number(0.1), .number(-0.0), .number(5e-324),
    .number(.greatestFiniteMagnitude), .number(1e21), "", "a\"b\\c/\n\r\t\u{0}\u{1f}\u{7f}é😀\u{2028}", [], .object([:]),
    [1, [2, ["x"]], .object(["a": [], "b": .object([:])])],
    ["z": 1, "a": [1, 2, 3], "nested": ["list": [["k": "v"], ["k": nil]]]],
  ]

  @Test("what is written reads back the same, compact and pretty", arguments: documents)
  func roundTrip(document: JSONValue) throws {
    #expect(try JSONValue.parse(document.text()) == document)
    #expect(try JSONValue.parse(document.text(pretty: true)) == document)
  }

  @Test("exact text, compact")
  func compact() {
    let value: JSONValue = ["a": [1, 2.5, nil, true], "b": "x\ny\u{1}", "c": .object([:])]
    #expect(value.text() == #"{"a":[1,2.5,null,true],"b":"x\ny\u0001","c":{}}"#)
  }

  @Test("exact text, pretty: members on lines of their own, plain arrays on one")
  func pretty() {
    let value: JSONValue = ["a": [1, 2], "b": [["c": 3]], "d": [], "e": .object([:])]
    #expect(
      value.text(pretty: true)
        == "{\n  \"a\": [1,2],\n  \"b\": [\n    {\n      \"c\": 3\n    }\n  ],\n  \"d\": [],\n  \"e\": {}\n}")
  }

  @Test("a Float is written as the shortest decimal that reads back as it")
  func shortestFloats() throws {
    #expect(JSONValue(Float(0.1)).text() == "0.1")
    #expect(JSONValue(Float(16_777_216)).text() == "16777216.0")
    var bits: UInt32 = 1
    while bits < 0x7f80_0000 {
      let value = Float(bitPattern: bits)
      let text = JSONValue(value).text()
      #expect(try JSONValue.parse(text).double.map { Float($0) } == value, "\(text)")
      let digits = text.prefix { $0 != "e" }.filter(\.isNumber).drop { $0 == "0" }
      #expect(digits.reversed().drop { $0 == "0" }.count <= 9, "\(text)")
      bits += 0x0012_3457
    }
  }

  @Test("what JSON has no number for becomes null")
  func notFinite() {
    #expect(JSONValue(Float.nan) == nil)
    #expect(JSONValue(Double.infinity) == nil)
    #expect(JSONValue.number(.nan).text() == "null")
  }

  @Test("a member can be replaced, removed and added without losing the others' order")
  func members() {
    var object: JSONObject = ["a": 1, "b": 2, "c": 3]
    object["b"] = 5
    object["a"] = nil
    object["d"] = 4
    #expect(JSONValue.object(object).text() == #"{"b":5,"c":3,"d":4}"#)
    #expect(object["c"] == 3)
    #expect(object["a"] == nil)
  }
}
