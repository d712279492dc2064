import GristCore
import GristTemplates

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Reads one case a line, `{"template": …, "names": {…}, "date": "2026-07-31"}`, and writes for each a line with its `text`,
/// or with the `error`.
@main struct Render {
  static func main() throws {
    while let line = readLine() {
      print(answer(try JSONValue.parse(line)).text())
      fflush(nil)
    }
  }

  static func answer(_ document: JSONValue) -> JSONValue {
    do {
      guard let template = document["template"]?.string, case .object(let names) = document["names"] else {
        return ["error": "no case"]
      }
      let clock = document["date"]?.string.flatMap { ChatProgram.Clock(date: $0) }
      return ["text": .string(try ChatProgram(template, file: "template").render(names, clock: clock))]
    } catch {
      return ["error": .string("\(error)")]
    }
  }
}
