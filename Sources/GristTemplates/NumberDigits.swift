internal import RealModule

/// `a ** b`.
func power(_ a: Double, _ b: Double) -> Double { Double.pow(a, b) }

/// Decimal digits of a positive number, correctly rounded: half to even of the number's exact value.
enum NumberDigits {
  /// A number's exact decimal digits: a whole number, and where its point is from the right.
  private static func exact(_ value: Double) -> (digits: [UInt8], point: Int) {
    guard value > 0 else { return ([0], 0) }
    var exponent = Int(value.exponent) - 52
    var significand = value.significandBitPattern | (value.isNormal ? 1 << 52 : 0)
    if !value.isNormal { exponent = -1074 }
    while significand & 1 == 0, exponent < 0 {
      significand >>= 1
      exponent += 1
    }
    var digits = String(significand).utf8.map { $0 - 48 }
    // Each halving is a five behind the point.
    func multiply(by factor: Int) {
      var carry = 0
      for index in digits.indices.reversed() {
        let product = Int(digits[index]) * factor + carry
        digits[index] = UInt8(product % 10)
        carry = product / 10
      }
      while carry > 0 {
        digits.insert(UInt8(carry % 10), at: 0)
        carry /= 10
      }
    }
    for _ in 0..<abs(exponent) { multiply(by: exponent < 0 ? 5 : 2) }
    return (digits, max(0, -exponent))
  }

  /// The digits rounded so that `count` stand behind the point.
  private static func rounded(_ value: Double, behindPoint count: Int) -> (digits: [UInt8], point: Int) {
    var (digits, point) = exact(value)
    if point < count {
      digits += [UInt8](repeating: 0, count: count - point)
      return (digits, count)
    }
    let dropped = point - count
    if dropped > digits.count { digits = [UInt8](repeating: 0, count: dropped - digits.count) + digits }
    let tail = digits.suffix(dropped)
    digits.removeLast(dropped)
    let isUp: Bool
    if let first = tail.first {
      let isHalf = first == 5 && tail.dropFirst().allSatisfy { $0 == 0 }
      isUp = first > 5 || first == 5 && !isHalf || isHalf && (digits.last ?? 0) % 2 == 1
    } else {
      isUp = false
    }
    if digits.isEmpty { digits = [0] }
    if isUp {
      var index = digits.count - 1
      while index >= 0, digits[index] == 9 {
        digits[index] = 0
        index -= 1
      }
      if index < 0 { digits.insert(1, at: 0) } else { digits[index] += 1 }
    }
    point = count
    return (digits, point)
  }

  static func fixed(_ value: Double, _ precision: Int) -> String {
    var (digits, point) = rounded(value, behindPoint: precision)
    if digits.count <= point { digits = [UInt8](repeating: 0, count: point + 1 - digits.count) + digits }
    while digits.count > point + 1, digits[0] == 0 { digits.removeFirst() }
    let text = String(decoding: digits.map { $0 + 48 }, as: UTF8.self)
    return precision > 0 ? "\(text.dropLast(point)).\(text.suffix(point))" : text
  }

  /// Significant digits, and the power of ten of the first.
  private static func significant(_ value: Double, _ count: Int) -> (digits: [UInt8], exponent: Int) {
    guard value > 0 else { return ([UInt8](repeating: 0, count: count), 0) }
    let (all, point) = exact(value)
    let leading = all.prefix { $0 == 0 }.count
    let exponent = all.count - leading - 1 - point
    let behind = count - 1 - exponent
    guard behind >= 0 else {
      // Rounded before the point.
      var kept = Array(all[leading...].prefix(count))
      let tail = all[leading...].dropFirst(count)
      let first = tail.first ?? 0
      let isHalf = first == 5 && tail.dropFirst().allSatisfy { $0 == 0 }
      if first > 5 || first == 5 && !isHalf || isHalf && (kept.last ?? 0) % 2 == 1 {
        var index = kept.count - 1
        while index >= 0, kept[index] == 9 {
          kept[index] = 0
          index -= 1
        }
        if index < 0 {
          return ([1] + kept.dropLast(), exponent + 1)
        }
        kept[index] += 1
      }
      return (kept, exponent)
    }
    let digits = Array(rounded(value, behindPoint: behind).digits.drop { $0 == 0 })
    return digits.count > count ? (Array(digits.dropLast()), exponent + 1) : (digits, exponent)
  }

  static func exponential(_ value: Double, _ precision: Int) -> String {
    let (digits, exponent) = significant(value, precision + 1)
    let text = String(decoding: digits.map { $0 + 48 }, as: UTF8.self)
    return text.prefix(1) + (precision > 0 ? "." + text.dropFirst() : "") + exponentText(exponent)
  }

  private static func exponentText(_ exponent: Int) -> String {
    "e" + (exponent < 0 ? "-" : "+") + (abs(exponent) < 10 ? "0" : "") + String(abs(exponent))
  }

  /// `g`: as short as so many significant digits allow.
  static func general(_ value: Double, _ count: Int, keepsPoint: Bool) -> String {
    let (digits, exponent) = significant(value, count)
    var shown = digits
    while shown.count > 1, shown.last == 0 { shown.removeLast() }
    let text = String(decoding: shown.map { $0 + 48 }, as: UTF8.self)
    if exponent < -4 || exponent >= count - (keepsPoint ? 1 : 0) {
      return text.prefix(1) + (text.utf8.count > 1 ? "." + text.dropFirst() : "") + exponentText(exponent)
    }
    if exponent < 0 { return "0." + String(repeating: "0", count: -exponent - 1) + text }
    let whole =
      text.utf8.count <= exponent + 1
      ? text + String(repeating: "0", count: exponent + 1 - text.utf8.count) : String(text.prefix(exponent + 1))
    let fraction = text.dropFirst(exponent + 1)
    return fraction.isEmpty ? whole + (keepsPoint ? ".0" : "") : whole + "." + fraction
  }

  /// `round`: half to even of the exact value.
  static func rounded(_ value: Double, _ precision: Int) -> Double {
    guard value.isFinite, abs(value) < 1e300 else { return value }
    if precision < 0 {
      let factor = power(10, Double(-precision))
      return (value / factor).rounded(.toNearestOrEven) * factor
    }
    let text = fixed(abs(value), precision)
    return (Double(text) ?? abs(value)) * (value.sign == .minus ? -1 : 1)
  }
}
