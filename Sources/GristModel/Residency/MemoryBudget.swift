import GristCore

/// How much memory a model may take.
public enum MemoryBudget: Sendable, Equatable {
  case bytes(Int)
  /// What the process's control groups and the machine leave, less a margin.
  case automatic

  /// What is left free beside an automatic budget: a sixteenth, 32 MiB at least.
  static func margin(of available: Int) -> Int { max(available / 16, 32 << 20) }

  /// "auto", or a number with a unit: "2GiB", "1500MB", "1.5G"; K, M and G alone count by 1,024. Nil for another text.
  public init?(_ text: String) {
    if text == "auto" {
      self = .automatic
      return
    }
    let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    guard let value = Double(number), let unit = Self.unit(text.dropFirst(number.count).lowercased()) else {
      return nil
    }
    let bytes = (value * unit).rounded(.down)
    guard bytes >= 1, bytes < 1e18 else { return nil }
    self = .bytes(Int(bytes))
  }

  private static func unit(_ name: String) -> Double? {
    switch name {
    case "", "b": 1
    case "k", "kib": 1024
    case "m", "mib": 1_048_576
    case "g", "gib": 1_073_741_824
    case "kb": 1e3
    case "mb": 1e6
    case "gb": 1e9
    default: nil
    }
  }

  /// In bytes.
  ///
  /// - Throws: 74 where the system does not tell what there is.
  public func byteCount() throws -> Int {
    switch self {
    case .bytes(let count): return count
    case .automatic:
      let available = try AvailableMemory().byteCount
      return max(available - Self.margin(of: available), 1)
    }
  }
}
