internal import Glibc

/// Numbers as people read them, the same in every locale.
package enum NumberText {
  /// With a fixed count of decimals: "0.250".
  package static func fixed(_ value: Double, digits: Int = 3) -> String { printed("%.\(digits)f", value) }

  /// With a count of significant digits, and an exponent where it is shorter: "0.25", "2.5e-07"; "0" for nothing.
  package static func significant(_ value: Double, digits: Int = 3) -> String {
    value == 0 ? "0" : printed("%.\(digits)g", value)
  }

  /// A share of one: "25.0 %".
  package static func percent(_ value: Double) -> String { fixed(value * 100, digits: 1) + " %" }

  /// A size: "12 bytes", "3.77 MB".
  package static func bytes(_ count: Int) -> String {
    let units = ["bytes", "KB", "MB", "GB", "TB"]
    var value = Double(count)
    var unit = 0
    while value >= 1000, unit < units.count - 1 {
      value /= 1000
      unit += 1
    }
    return unit == 0 ? "\(count) bytes" : "\(fixed(value, digits: value < 10 ? 2 : 1)) \(units[unit])"
  }

  /// A limit of memory, rounded up: "1310 MiB".
  package static func mebibytes(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20) MiB" }

  private static func printed(_ format: String, _ value: Double) -> String {
    var buffer = [CChar](repeating: 0, count: 400)
    let count = withVaList([value]) { vsnprintf(&buffer, buffer.count, format, $0) }
    return String(decoding: buffer.prefix(max(0, Int(count))).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
