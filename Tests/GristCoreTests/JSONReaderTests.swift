import GristCore
import Testing

@Suite("Typed reading of JSON") struct JSONReaderTests {
  private func reader(_ text: String) throws -> JSONReader {
    try JSONReader(JSONValue.parse(text), file: "config.json")
  }

  private func message(_ text: String, _ body: (JSONReader) throws -> Void) throws -> String? {
    let reader = try reader(text)
    let error = #expect(throws: GristError.self) { try body(reader) }
    #expect(error?.code == .badData)
    #expect(error?.file == "config.json")
    return error?.description
  }

  @Test("a missing field is named")
  func missing() throws {
    #expect(
      try message("{}") { _ = try $0.string("name") } == "config.json: \"name\" must be a string: found nothing")
    #expect(
      try message(#"{"name":null}"#) { _ = try $0.bool("name") }
        == "config.json: \"name\" must be true or false: found nothing")
  }

  @Test("a field of the wrong type is named with what it holds")
  func wrongType() throws {
    #expect(
      try message(#"{"n":"7"}"#) { _ = try $0.integer("n", in: 0...9) }
        == "config.json: \"n\" must be a whole number from 0 to 9: found \"7\"")
    #expect(
      try message(#"{"n":7.5}"#) { _ = try $0.integer("n", in: 0...9) }
        == "config.json: \"n\" must be a whole number from 0 to 9: found 7.5")
    #expect(
      try message(#"{"n":10}"#) { _ = try $0.integer("n", in: 0...9) }
        == "config.json: \"n\" must be a whole number from 0 to 9: found 10")
    #expect(try message(#"{"x":[1]}"#) { _ = try $0.double("x") } == "config.json: \"x\" must be a number: found [1]")
    #expect(
      try message(#"{"x":[1,"a"]}"#) { _ = try $0.strings("x") }
        == "config.json: \"x\" must be an array of strings: found [1,\"a\"]")
    #expect(
      try message(#"{"x":[1,-1]}"#) { _ = try $0.integers("x", in: 0...5) }
        == "config.json: \"x\" must be an array of whole numbers from 0 to 5: found [1,-1]")
  }

  @Test("a wrong field inside an object is named with its way there")
  func nested() throws {
    #expect(
      try message(#"{"a":{"b":{"c":1}}}"#) { _ = try $0.object("a").object("b").string("c") }
        == "config.json: \"a.b.c\" must be a string: found 1")
    #expect(
      try message(#"{"a":[{"b":1},{"b":2}]}"#) { _ = try $0.objects("a")[1].string("b") }
        == "config.json: \"a[1].b\" must be a string: found 2")
    #expect(
      try message(#"{"a":[{}, 3]}"#) { _ = try $0.objects("a") }
        == "config.json: \"a[1]\" must be an object: found an integer")
  }

  @Test("defaults count for what is absent or null, not for what is wrong")
  func defaults() throws {
    let reader = try reader(#"{"a":null,"b":true}"#)
    #expect(try reader.integer("a", in: 0...9, default: 4) == 4)
    #expect(try reader.string("missing", default: "x") == "x")
    #expect(throws: GristError.self) { _ = try reader.integer("b", in: 0...9, default: 4) }
  }

  @Test("unknown members are refused by name where nothing may be skipped")
  func unknownMember() throws {
    #expect(
      try message(#"{"a":1,"zz":2}"#) { try $0.allow(only: ["a"]) }
        == "config.json: \"zz\" is not known to this version: found 2; use a newer gristmill")
  }

  @Test("a document that is no object")
  func notAnObject() throws {
    let error = #expect(throws: GristError.self) { _ = try JSONReader(JSONValue.parse("[]"), file: "config.json") }
    #expect(error?.description == "config.json: a JSON object was expected: found an array")
  }
}
