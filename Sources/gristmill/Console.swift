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
  private let start = ContinuousClock.now
  private var lastFraction = -1.0

  init(quiet: Bool) { isShown = Console.isTerminal && !quiet }

  mutating func show(_ fraction: Double, _ label: String) {
    guard isShown, fraction - lastFraction >= 0.005 || fraction < lastFraction || label.hasPrefix("hashing") else {
      return
    }
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
  static func table(_ given: [[String]], leftAligned: Set<Int> = [0]) -> String {
    // One long name must not widen every row.
    let rows = given.map { $0.map { $0.shortened(to: 160).visible() } }
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in rows.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0 }
    return rows.map { row in
      let cells = row.enumerated().map { column, cell in
        let space = String(repeating: " ", count: widths[column] - cell.count)
        return leftAligned.contains(column) ? cell + space : space + cell
      }
      let line = cells.joined(separator: "  ")
      return String(decoding: line.utf8.dropLast(line.utf8.reversed().prefix { $0 == 0x20 }.count), as: UTF8.self)
    }.joined(separator: "\n")
  }
}
