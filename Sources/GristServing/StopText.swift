/// Looks for texts that end an answer as it comes, and holds back what may be the beginning of one.
struct StopText {
  private let stops: [[UInt8]]
  private var held: [UInt8] = []
  /// Whether one was found: nothing is given after it.
  private(set) var isFound = false

  init(_ stops: [String]) { self.stops = stops.map { Array($0.utf8) } }

  /// What of a growing text is certain not to belong to a stop.
  mutating func append(_ text: String) -> String {
    guard !isFound else { return "" }
    guard !stops.isEmpty else { return text }
    held += Array(text.utf8)
    if let start = stops.compactMap({ held.firstRange(of: $0)?.lowerBound }).min() {
      isFound = true
      return take(start)
    }
    let waiting = (0..<held.count).first { start in
      stops.contains { $0.count > held.count - start && $0.starts(with: held[start...]) }
    }
    return take(waiting ?? held.count)
  }

  /// What is left when the text ends.
  mutating func finish() -> String { isFound ? "" : take(held.count) }

  /// Stops begin where characters begin, so what stands before is whole.
  private mutating func take(_ count: Int) -> String {
    let text = String(decoding: held[..<count], as: UTF8.self)
    held = isFound ? [] : Array(held[count...])
    return text
  }
}
