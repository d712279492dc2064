import GristCore
import GristTemplates
import TestSupport
import Testing

/// What jinja2 renders, set up as transformers sets it up: Tools/reference/write_jinja.py.
@Suite("Chat templates, against jinja2") struct RenderedTests {
  @Test(
    "templates with every construct found in public ones, and made-up ones, come out as jinja2 renders or refuses them")
  func rendered() throws {
    let document = try Fixtures.json("templates/rendered.json")
    let conversations = try #require(document["conversations"]?.array)
    let templates = try #require(document["templates"]?.array)
    let cases = try #require(document["cases"]?.array)
    let clock = try #require(document["date"]?.string.flatMap { ChatProgram.Clock(date: $0) })
    #expect(cases.count > 600 && conversations.count == 24)
    for item in cases {
      let parts = try #require(item.array)
      let (template, conversation) = (try #require(parts[0].integer), try #require(parts[1].integer))
      let source = try #require(templates[template].string)
      guard case .object(let names) = conversations[conversation] else { continue }
      let text = try? ChatProgram(source, file: "template").render(names, clock: clock)
      #expect(text.map { Array($0.utf8) } == parts[2].string.map { Array($0.utf8) }, "\(source.debugDescription)")
    }
  }

  private func failure(
    _ template: String, _ names: JSONObject = JSONObject(), limits: ChatProgram.Limits = ChatProgram.Limits()
  ) throws -> GristError {
    try #require(throws: GristError.self) {
      _ = try ChatProgram(template, file: "a.jinja").render(names, limits: limits)
    }
  }

  @Test(
    "what is wrong is told with line and column",
    arguments: [
      ("{{ 1 }}\n  {% if %}", "line 2, column 9"), ("{% for x in y %}", "line 1"), ("\n\n{{ x.y.z }}", "line 3"),
      ("{{ 'a' | nothing }}", "line 1"), ("{{ 1 + 'a' }}", "line 1"), ("{% include 'a' %}", "line 1"),
      ("{% import 'os' as os %}", "line 1"), ("{{ 'never", "line 1"), ("{% set x = %}", "line 1"),
      ("{{ (1 }}", "line 1"),
    ])
  func places(template: String, place: String) throws {
    let error = try failure(template)
    #expect(error.code == .badData && error.file == "a.jinja" && error.what.contains(place), "\(error)")
  }

  @Test("what a template refuses itself is told in its own words")
  func raised() throws {
    let error = try failure("{{ raise_exception('roles must alternate') }}")
    #expect(error.what.contains("refuses the conversation") && error.found == "roles must alternate")
  }

  @Test(
    "steps, depth and output are bounded",
    arguments: [
      "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
      "{{ 'x' * 1000000000000 }}", "{{ [1] * 100000000 }}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% set ns = namespace(x='ab') %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
      "{% set ns = namespace(x='ab') %}{% for i in range(100) %}{% set ns.x = ns.x.replace('a', ns.x) %}{% endfor %}",
      "{{ '%1000000000d' % 1 }}", "{{ '%.1000000000f' % 1 }}",
      "{% for i in range(99999) %}{% set x = '%99999d' % 1 %}{% endfor %}", "{{ 10 ** 100000000 }}",
      "{{ range(1000000000) | list }}", "{{ 'a'.center(9999999999) }}",
      "{{ 'a' | indent(9999999999) }}", "{% for i in range(99999) %}{{ 'x' * 999 }}{% endfor %}",
      "{{ '{:9999999999}'.format(1) }}", "{{ 'a'.ljust(9223372036854775807) }}", "{{ 9223372036854775807 + 1 }}",
      "{{ (-9223372036854775807 - 1) | abs }}", "{{ -9223372036854775807 * 3 }}",
    ])
  func bounds(template: String) throws {
    #expect(try failure(template, limits: ChatProgram.Limits(steps: 1_000_000)).code == .badData)
  }

  @Test(
    "so is how deep a template's own text may go",
    arguments: ["(", "[", "not ", "-", "{{ x ", "{% if 1 %}", "1 if 1 else "])
  func nesting(piece: String) throws {
    let opened = String(repeating: piece, count: 100_000)
    #expect(try failure(piece.hasPrefix("{") ? opened : "{{ " + opened + "1 }}").code == .badData)
  }

  @Test(
    "no way leads out: neither to Python's insides nor to a clock that was not given",
    arguments: [
      "{{ ''.__class__.__mro__ }}", "{{ messages.append(1) }}", "{{ strftime_now('%Y') }}",
      "{{ cycler.__init__.__globals__ }}",
      "{{ messages.__class__() }}",
    ])
  func sandbox(template: String) throws { #expect(try failure(template, ["messages": [1]]).code == .badData) }

  @Test("the clock tells as Python's strftime does")
  func clock() throws {
    let clock = try #require(ChatProgram.Clock(year: 2026, month: 7, day: 5, hour: 15, minute: 4, second: 9))
    let text = try ChatProgram("{{ strftime_now('%d %b %Y, %A %B %j %H:%M:%S %I %p %y %% %a %m') }}", file: "a")
      .render(JSONObject(), clock: clock)
    #expect(text == "05 Jul 2026, Sunday July 186 15:04:09 03 PM 26 % Sun 07")
    for date in ["2026-02-29", "2026-13-01", "26-01-01", "2026-1-1", "0000-01-01", "2026-07-3x", "", "2026/07/31"] {
      #expect(ChatProgram.Clock(date: date) == nil, "\(date)")
    }
    #expect(ChatProgram.Clock(date: "2024-02-29")?.date == "2024-02-29")
  }
}
