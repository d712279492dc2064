import Glibc
import GristCore

/// Where everything the program says comes out: answers on standard output, everything else on standard error.
///
/// What cannot be written is an error (74), never a silent loss. Text for people has everything made visible that would
/// steer a terminal: names come from files that anybody may have written.
enum Console {
  /// A line of the answer, or several.
  static func print(_ text: String) throws {
    try write(text.visible(keepingLines: true) + "\n", to: STDOUT_FILENO, "standard output")
  }

  /// A table of rows that need not all be in memory.
  static func printTable<Rows: Collection>(
    heading: [String], _ rows: Rows, leftAligned: Set<Int> = [0], cells: (Rows.Element) -> [String]
  ) throws {
    var lines: [String] = []
    try Format.table(heading: heading, rows, leftAligned: leftAligned, cells: cells) { line in
      lines.append(line)
      guard lines.count == 512 else { return }
      try print(lines.joined(separator: "\n"))
      lines = []
    }
    if !lines.isEmpty { try print(lines.joined(separator: "\n")) }
  }

  /// One JSON document, which escapes what a terminal would obey.
  static func print(_ document: JSONValue, pretty: Bool = true) throws {
    try write(document.text(pretty: pretty) + "\n", to: STDOUT_FILENO, "standard output")
  }

  /// A piece of a streamed answer, shown at once; as it is where no terminal would obey it.
  static func stream(_ text: String) throws {
    let safe = isatty(STDOUT_FILENO) == 1 ? text.visible(keepingLines: true) : text
    try write(safe, to: STDOUT_FILENO, "standard output")
  }

  /// A line beside the answer.
  static func error(_ line: String) throws {
    // Also says that the program was interrupted: that must not end it.
    try write(line.visible(keepingLines: true) + "\n", to: STDERR_FILENO, "standard error", untilInterrupted: false)
  }

  /// A picture beside the answer, with what sets its colours: nothing of it came from outside as text.
  static func draw(_ picture: TerminalPicture) throws {
    try write(picture.text + "\n", to: STDERR_FILENO, "standard error")
  }

  static let isTerminal = isatty(STDERR_FILENO) == 1

  /// Writes all of it.
  ///
  /// - Throws: 74 when that fails, 130 when a signal ended the wait for a reader.
  static func write(
    _ text: String, to descriptor: Int32, _ name: String, untilInterrupted: Bool = true
  ) throws {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      // A pipe that is ready takes this much without a wait: one could begin just after a signal came.
      var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      let isReady = poll(&ready, 1, 100) > 0
      if untilInterrupted { try Interruption.check() }
      guard isReady else { continue }
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, min($0.count, Int(PIPE_BUF))) }
      if count < 0, errno == EINTR || errno == EAGAIN { continue }
      guard count > 0 else { throw GristError(.inputOutput, "cannot write to \(name): \(systemMessage())") }
      rest = rest.dropFirst(count)
    }
  }
}
