import Foundation
import Glibc
import GristCore

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
