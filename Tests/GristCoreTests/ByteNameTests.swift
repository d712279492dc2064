import GristCore
import Testing

@Suite("Byte names") struct ByteNameTests {
  @Test("are the same when their bytes are, short or long")
  func equality() {
    for name in [
      "", "a", "fifteen bytes..", "sixteen bytes...", "model.layers.0.self_attn.q_proj.weight", "é",
      "é and more than fifteen",
    ] {
      #expect(ByteName(name) == ByteName(String(decoding: Array(name.utf8), as: UTF8.self)))
      #expect(ByteName(name) != ByteName(name + "x"))
      #expect(ByteName("x" + name) != ByteName("y" + name))
    }
  }

  @Test("are others where only Unicode calls them the same")
  func canonicalEquivalence() {
    #expect("é" == "e\u{301}")
    #expect(ByteName("é") != ByteName("e\u{301}"))
    // As many bytes: the ångström sign, and the letter with its ring.
    #expect("\u{212b}" == "A\u{30a}")
    #expect(ByteName("\u{212b}") != ByteName("A\u{30a}"))
    #expect(Set(["é", "e\u{301}"].map { ByteName($0) }).count == 2)
  }
}
