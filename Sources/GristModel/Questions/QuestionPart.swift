/// One of several parts that a list of questions is asked in, each by itself, on whatever machine: `2/4` is the second of
/// four.
public struct QuestionPart: Sendable, Equatable, CustomStringConvertible {
  /// From 1 to ``count``.
  public let index: Int
  public let count: Int

  /// Nil for what is no part: `0/4`, `5/4`, `a/b`.
  public init?(index: Int, count: Int) {
    guard (1...1_000_000).contains(count), (1...count).contains(index) else { return nil }
    (self.index, self.count) = (index, count)
  }

  public init?(_ text: String) {
    let numbers = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
    guard numbers.count == 2, let index = numbers[0], let count = numbers[1] else { return nil }
    self.init(index: index, count: count)
  }

  /// Which of so many questions: parts stand side by side and differ by one question at most.
  public func range(of questions: Int) -> Range<Int> {
    (index - 1) * questions / count..<index * questions / count
  }

  public var description: String { "\(index)/\(count)" }
}
