import Foundation
import GristCore

/// Where everything the program says comes out: answers on standard output, everything else on standard error.
enum Console {
  /// A line of the answer.
  static func print(_ line: String) { Swift.print(line) }

  /// A piece of a streamed answer, shown at once.
  static func stream(_ text: String) {
    Swift.print(text, terminator: "")
    fflush(nil)
  }

  static func error(_ line: String) {
    FileHandle.standardError.write(Data((line + "\n").utf8))
  }

  static let isTerminal = isatty(STDERR_FILENO) == 1
}

func exitProcess(_ code: Int32) -> Never { exit(code) }

/// A bar on standard error while long work goes on; silent unless that is a terminal.
struct ProgressBar {
  private let isShown: Bool
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
    let text = String(format: "\r\u{1B}[2K%@ %3.0f %%  %@", bar, fraction * 100, String(label.suffix(60)))
    FileHandle.standardError.write(Data(text.utf8))
  }

  func clear() {
    guard isShown else { return }
    FileHandle.standardError.write(Data("\r\u{1B}[2K".utf8))
  }
}

/// Numbers as people read them.
enum Format {
  static func bytes(_ count: Int) -> String {
    let units = ["bytes", "KB", "MB", "GB", "TB"]
    var value = Double(count)
    var unit = 0
    while value >= 1000, unit < units.count - 1 {
      value /= 1000
      unit += 1
    }
    return unit == 0 ? "\(count) bytes" : String(format: value < 10 ? "%.2f %@" : "%.1f %@", value, units[unit])
  }

  static func number(_ value: Double, digits: Int = 3) -> String { String(format: "%.\(digits)f", value) }
  static func small(_ value: Double) -> String { value == 0 ? "0" : String(format: "%.2g", value) }
  static func percent(_ value: Double) -> String { String(format: "%.1f %%", value * 100) }

  /// Columns aligned: the first to the left, the others to the right.
  static func table(_ rows: [[String]], leftAligned: Set<Int> = [0]) -> String {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in rows.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0 }
    return rows.map { row in
      let cells = row.enumerated().map { column, cell in
        let space = String(repeating: " ", count: widths[column] - cell.count)
        return leftAligned.contains(column) ? cell + space : space + cell
      }
      let line = cells.joined(separator: "  ")
      return String(line.reversed().drop { $0 == " " }.reversed())
    }.joined(separator: "\n")
  }
}
