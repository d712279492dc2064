import GristCore
import TestSupport
import Testing

@Suite("Templates that commands are given") struct TemplateTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    let dated = "{{ strftime_now('%d %b %Y') }}: {% for m in messages %}{{ m.content + '.' }}{% endfor %}"
    try folder.write("dated.jinja", Array(dated.utf8))
    try folder.write("probes.json", Array(#"[{"prompt": "Hello"}]"#.utf8))
  }

  private var dated: String { folder.file("dated.jinja") }

  private func ids(_ arguments: String...) throws -> [Int] {
    let run = ["run", Command.router, "--prompt", "Hello", "--max-new-tokens", "1", "--json"]
    let document = try Command.run(run + arguments).document()
    return try #require(document["input_ids"]?.integers)
  }

  @Test("a template's file, no template, and the day that it is told")
  func chosen() throws {
    let first = try ids("--template", dated, "--date", "2026-01-02")
    #expect(try ids("--template", dated, "--date", "2026-01-02") == first)
    #expect(try ids("--template", dated, "--date", "2025-01-02") != first)
    let raw = try ids("--raw")
    #expect(try raw.count < first.count && raw.count < ids().count)
  }

  @Test("a record keeps the day, and verify uses it; a file keeps the template")
  func kept() throws {
    let record = folder.file("record")
    let model = folder.file("model.grist")
    let made = try Command.run(
      "record", Command.router, "--probes", folder.file("probes.json"), "-o", record, "--template", dated, "--date",
      "2020-02-29", "--activations", "f32")
    #expect(made.code == 0, "\(made.error)")
    #expect(
      try Command.run("convert", Command.router, "-o", model, "--recipe", "source", "--template", dated).code == 0)
    let verified = try Command.run("verify", model, "--reference", record, "--text-only", "--activations", "f32")
    #expect(verified.code == 0, "\(verified.error)")
    let other = try Command.run("verify", model, "--reference", record, "--text-only", "--template", "llava")
    #expect(other.code == 65 && other.error.contains("template"), "\(other.error)")
    let shown = try Command.run("inspect", model)
    #expect(shown.output.contains("a chat template of its own"))
  }

  @Test(
    "what cannot be a template is refused before the work",
    arguments: [
      (["--template", "morse"], Int32(66), "the names are vicuna"), (["--template", "PLAIN"], 65, "no {{"),
      (["--template", "BROKEN"], 65, "line 1"), (["--raw", "--template", "llava"], 64, "--raw"),
      (["--date", "2026-13-01"], 64, "--date must be a day"),
    ])
  func refused(arguments: [String], code: Int32, words: String) throws {
    try folder.write("plain", Array("hello".utf8))
    try folder.write("broken", Array("{% if %}".utf8))
    let given = arguments.map { ["PLAIN": folder.file("plain"), "BROKEN": folder.file("broken")][$0] ?? $0 }
    let result = try Command.run(["run", Command.router, "--prompt", "x"] + given)
    #expect(result.code == code && result.error.contains(words), "\(result.error)")
  }
}
