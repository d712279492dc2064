internal import Glibc

// How names and numbers are written into the report's page.

/// Text as HTML shows it, in an element or a quoted attribute.
func escaped(_ text: String) -> String {
  var out = ""
  out.reserveCapacity(text.utf8.count)
  for scalar in text.unicodeScalars {
    switch scalar {
    case "&": out += "&amp;"
    case "<": out += "&lt;"
    case ">": out += "&gt;"
    case "\"": out += "&quot;"
    case "'": out += "&#39;"
    // HTML has no way to write these: show that something was there.
    case _ where scalar.value < 0x20 && scalar != "\n" && scalar != "\t": out += "\u{FFFD}"
    default: out.unicodeScalars.append(scalar)
    }
  }
  return out
}

/// A number with a fixed count of decimals.
func decimal(_ value: Double, digits: Int = 3) -> String { printed("%.\(digits)f", value) }

/// A number with three significant digits, "0" for nothing.
func threeDigits(_ value: Double) -> String { value == 0 ? "0" : printed("%.3g", value) }

func percent(_ value: Double) -> String { decimal(value * 100, digits: 1) + " %" }

private func printed(_ format: String, _ value: Double) -> String {
  var buffer = [CChar](repeating: 0, count: 400)
  let count = withVaList([value]) { vsnprintf(&buffer, buffer.count, format, $0) }
  return String(decoding: buffer.prefix(max(0, Int(count))).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
