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

/// A bar on standard error while long work goes on; silent unless that is a terminal.
struct ProgressBar {
  private let isShown: Bool
  private var start = ContinuousClock.now
  private var lastFraction = -1.0

  init(quiet: Bool) { isShown = Console.isTerminal && !quiet }

  mutating func show(_ fraction: Double, _ label: String) {
    guard isShown, fraction - lastFraction >= 0.005 || fraction < lastFraction || label.hasPrefix("hashing") else {
      return
    }
    // The next stage's time is its own.
    if fraction < lastFraction { start = .now }
    lastFraction = fraction
    let width = 30
    let filled = Int(fraction * Double(width))
    let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
    let text = String(
      format: "\r\u{1B}[2K%@ %3.0f %%  %@%@", bar, fraction * 100, timeLeft(fraction),
      String(label.visible().suffix(60)))
    // A bar that cannot be drawn is no loss.
    try? Console.write(text, to: STDERR_FILENO, "standard error")
  }

  /// What is still to come if it goes on as it went; nothing before that can be told.
  private func timeLeft(_ fraction: Double) -> String {
    let seconds = (ContinuousClock.now - start).seconds
    guard seconds > 10, fraction > 0.02, fraction < 1 else { return "" }
    let left = Int(seconds * (1 - fraction) / fraction)
    return left < 90 ? "\(left) s left  " : "\((left + 30) / 60) min left  "
  }

  func clear() {
    guard isShown else { return }
    try? Console.write("\r\u{1B}[2K", to: STDERR_FILENO, "standard error")
  }
}

/// Sizes and tables as people read them.
enum Format {
  static func bytes(_ count: Int) -> String {
    let units = ["bytes", "KB", "MB", "GB", "TB"]
    var value = Double(count)
    var unit = 0
    while value >= 1000, unit < units.count - 1 {
      value /= 1000
      unit += 1
    }
    return unit == 0 ? "\(count) bytes" : "\(NumberText.fixed(value, digits: value < 10 ? 2 : 1)) \(units[unit])"
  }

  /// Columns aligned: the first to the left, the others to the right.
  static func table(_ rows: [[String]], leftAligned: Set<Int> = [0]) -> String {
    var lines: [String] = []
    table(heading: [], rows, leftAligned: leftAligned, cells: { $0 }, line: { lines.append($0) })
    return lines.joined(separator: "\n")
  }

  /// A table of many rows, line by line: cells are made twice, once for the widths of columns, and not kept.
  static func table<Rows: Collection>(
    heading: [String], _ rows: Rows, leftAligned: Set<Int> = [0], cells: (Rows.Element) -> [String],
    line: (String) throws -> Void
  ) rethrows {
    // One long name must not widen every row.
    let shown = { (cells: [String]) in cells.map { $0.shortened(to: 160).visible() } }
    var widths = heading.map(\.count)
    for row in rows {
      for (column, cell) in shown(cells(row)).enumerated() {
        if column < widths.count { widths[column] = max(widths[column], cell.count) } else { widths.append(cell.count) }
      }
    }
    func text(_ cells: [String]) -> String {
      let padded = cells.enumerated().map { column, cell in
        let space = String(repeating: " ", count: widths[column] - cell.count)
        return leftAligned.contains(column) ? cell + space : space + cell
      }
      let text = padded.joined(separator: "  ")
      return String(decoding: text.utf8.dropLast(text.utf8.reversed().prefix { $0 == 0x20 }.count), as: UTF8.self)
    }
    if !heading.isEmpty { try line(text(heading)) }
    for row in rows { try line(text(shown(cells(row)))) }
  }
}
