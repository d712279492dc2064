extension ChatProgram {
  /// A date and a time of day, local to whoever asks.
  public struct Clock: Sendable, Equatable {
    public var year: Int
    public var month: Int
    public var day: Int
    public var hour: Int
    public var minute: Int
    public var second: Int

    /// Nil for a date that no calendar has.
    public init?(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0) {
      guard (1...9999).contains(year), (1...12).contains(month), (0...23).contains(hour), (0...59).contains(minute),
        (0...60).contains(second), (1...Self.days(of: month, year)).contains(day)
      else { return nil }
      (self.year, self.month, self.day, self.hour, self.minute, self.second) = (year, month, day, hour, minute, second)
    }

    /// A date as ISO 8601 writes it, 2026-07-31; nil for anything else.
    public init?(date: String) {
      let parts = date.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
      guard date.utf8.count == 10, parts.count == 3, let year = parts[0], let month = parts[1], let day = parts[2]
      else {
        return nil
      }
      self.init(year: year, month: month, day: day)
    }

    /// 2026-07-31.
    public var date: String { "\(Self.padded(year, 4))-\(Self.padded(month))-\(Self.padded(day))" }

    private static func days(of month: Int, _ year: Int) -> Int {
      switch month {
      case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
      case 4, 6, 9, 11: 30
      default: 31
      }
    }

    /// From 1.
    private var dayOfYear: Int { (1..<month).reduce(day) { $0 + Self.days(of: $1, year) } }

    /// From 0, a Sunday.
    private var dayOfWeek: Int {
      let before = year - 1
      return (before * 365 + before / 4 - before / 100 + before / 400 + dayOfYear) % 7
    }

    private static let months = [
      "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
      "December",
    ]
    private static let weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]

    private static func padded(_ value: Int, _ width: Int = 2, _ fill: Character = "0") -> String {
      let digits = String(value)
      return String(repeating: fill, count: max(0, width - digits.count)) + digits
    }

    /// `strftime` in the C locale.
    func text(_ format: Text) throws -> Text {
      var result = ""
      var rest = format.scalars[...]
      while let scalar = rest.popFirst() {
        guard scalar == "%", let first = rest.popFirst() else {
          result.unicodeScalars.append(scalar)
          continue
        }
        // glibc's flag that takes zeros away.
        let isBare = first == "-"
        guard let kind = isBare ? rest.popFirst() : first else { break }
        let value = try directive(kind)
        result +=
          isBare
          ? String(value.drop { $0 == "0" }.isEmpty ? Substring("0") : value.drop { $0 == "0" || $0 == " " }) : value
      }
      return Text(result)
    }

    private func directive(_ kind: Unicode.Scalar) throws -> String {
      let hour12 = hour % 12 == 0 ? 12 : hour % 12
      switch kind {
      case "a": return String(Self.weekdays[dayOfWeek].prefix(3))
      case "A": return Self.weekdays[dayOfWeek]
      case "b", "h": return String(Self.months[month - 1].prefix(3))
      case "B": return Self.months[month - 1]
      case "d": return Self.padded(day)
      case "e": return Self.padded(day, 2, " ")
      case "D": return "\(Self.padded(month))/\(Self.padded(day))/\(Self.padded(year % 100))"
      case "F": return date
      case "H": return Self.padded(hour)
      case "I": return Self.padded(hour12)
      case "j": return Self.padded(dayOfYear, 3)
      case "m": return Self.padded(month)
      case "M": return Self.padded(minute)
      case "p": return hour < 12 ? "AM" : "PM"
      case "R": return "\(Self.padded(hour)):\(Self.padded(minute))"
      case "S": return Self.padded(second)
      case "T": return "\(Self.padded(hour)):\(Self.padded(minute)):\(Self.padded(second))"
      case "u": return String(dayOfWeek == 0 ? 7 : dayOfWeek)
      case "w": return String(dayOfWeek)
      case "y": return Self.padded(year % 100)
      case "Y": return String(year)
      case "n": return "\n"
      case "t": return "\t"
      case "f": return "000000"
      case "z", "Z": return ""
      case "%": return "%"
      default: throw TemplateError("a part of a date that is not known: %\(kind)")
      }
    }
  }
}
