import Foundation
import GristCore

/// A file with a line for every question that was asked, so that asking many which was stopped goes on, and what several
/// parts gave is joined to what one run would have given, byte for byte. The first line says what was asked of what.
package final class QuestionLog {
  package let path: String
  /// Of the questions that were asked before.
  package let entries: [JSONReader]
  private let file: FileHandle
  /// Two that add to one log would ask everything twice.
  private let lock: OutputLock

  /// - Parameters:
  ///   - path: created when it is not there.
  ///   - heading: what two logs do not share whose lines may differ, by name.
  ///   - questions: how many there are.
  ///   - what: what the folder around it holds, for messages: "evaluation".
  ///
  /// - Throws: 65 when the file is of something else, or was changed; 74 when it cannot be written, or another program is
  ///   writing it.
  package init(path: String, heading: JSONObject, questions: Int, what: String) throws {
    self.path = path
    lock = try OutputLock(of: path, named: path)
    let first = Array(JSONValue.object(heading).text(pretty: false).utf8) + [0x0a]
    var kept: [JSONReader] = []
    var length = 0
    if fileKind(at: path) == .file {
      for (number, line) in try JSONLines.wholeLines(path: path).enumerated() {
        let json = try JSONLines.reader(line, path: path, number: number + 1)
        if number == 0 { try Self.require(json.object, heading, file: path, what) } else { kept.append(json) }
        length += line.count + 1
      }
      let indices = try kept.map { try $0.integer("index", in: 0...max(questions - 1, 0)) }
      guard Set(indices).count == indices.count else {
        throw GristError(
          .badData, "a question was asked twice", file: path, advice: "remove the folder, or name another one")
      }
    }
    entries = kept
    do {
      if length == 0 { try Data(first).write(to: URL(fileURLWithPath: path)) }
      file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
      try file.truncate(atOffset: UInt64(length == 0 ? first.count : length))
      try file.seekToEnd()
    } catch {
      throw GristError(.inputOutput, "the folder cannot be written", file: path, found: error.localizedDescription)
    }
  }

  private static func require(_ there: JSONObject, _ wanted: JSONObject, file: String, _ what: String) throws {
    guard let name = (wanted.names + there.names).first(where: { there[$0] != wanted[$0] }) else { return }
    throw GristError(
      .badData, "the folder holds another \(what)", file: file,
      found:
        "\(name) is \(there[name]?.text(pretty: false) ?? "missing"), not \(wanted[name]?.text(pretty: false) ?? "there")",
      advice: "name another folder, or remove this one")
  }

  /// Adds a question's line; its document has the question's place as `index`.
  ///
  /// - Throws: 74 when it cannot be written.
  package func append(_ entry: JSONValue) throws {
    do { try file.write(contentsOf: Data(entry.text(pretty: false).utf8) + [0x0a]) } catch {
      throw GristError(
        .inputOutput, "the folder cannot be written", file: path, found: error.localizedDescription,
        advice: "make room and run it again: it goes on")
    }
  }

  /// - Throws: 64 when something is where parts are to be joined.
  package static func requireNothing(at output: String) throws {
    guard fileKind(at: output) == nil else {
      throw GristError(.usage, "the output is there already", file: output, advice: "name a folder that is not")
    }
  }

  /// What the logs of several parts hold together.
  package struct Joined {
    /// The whole log.
    package let text: Bytes
    /// Its entries in their order, and which log each is from.
    package let entries: [(json: JSONReader, log: Int)]
  }

  /// - Parameters:
  ///   - paths: of the parts' logs, in any order.
  ///   - what: what the folders around them hold, for messages.
  ///
  /// - Throws: 65 for logs of different things, and for a question that was asked twice.
  package static func joined(_ paths: [String], what: String) throws -> Joined {
    var heading: ArraySlice<UInt8>?
    var lines: [(index: Int, text: ArraySlice<UInt8>, json: JSONReader, log: Int)] = []
    var seen: [Int: String] = [:]
    for (log, path) in paths.enumerated() {
      let all = try JSONLines.wholeLines(path: path)
      guard let first = all.first else { throw GristError(.badData, "the folder holds no \(what)", file: path) }
      if let heading, !heading.elementsEqual(first) {
        throw GristError(
          .badData, "the parts are of different \(what)s", file: path,
          advice: "join what one command gave with another --part alone")
      }
      heading = heading ?? first
      for (number, line) in all.dropFirst().enumerated() {
        let json = try JSONLines.reader(line, path: path, number: number + 2)
        let index = try json.integer("index", in: 0...Int(Int32.max))
        if let other = seen.updateValue(path, forKey: index) {
          throw GristError(.badData, "a question was asked twice", file: json.file, found: other)
        }
        lines.append((index, line, json, log))
      }
    }
    guard let heading else { throw GristError(.usage, "there are no parts") }
    lines.sort { $0.index < $1.index }
    let text = ([heading] + lines.map(\.text)).flatMap { $0 + [0x0a] }
    return Joined(text: Bytes(text), entries: lines.map { ($0.json, $0.log) })
  }
}
