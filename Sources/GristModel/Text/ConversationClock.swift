import Foundation
import GristTemplates

extension ChatProgram.Clock {
  /// The time of day where the program runs.
  public static var now: ChatProgram.Clock? {
    let parts = Calendar(identifier: .gregorian).dateComponents(
      [.year, .month, .day, .hour, .minute, .second], from: Date())
    guard let year = parts.year, let month = parts.month, let day = parts.day else { return nil }
    return ChatProgram.Clock(
      year: year, month: month, day: day, hour: parts.hour ?? 0, minute: parts.minute ?? 0, second: parts.second ?? 0)
  }

  /// The same day at midnight, which is all that a record keeps.
  public var day: ChatProgram.Clock? { ChatProgram.Clock(date: date) }
}
