/// Turns a growing list of ids into text piece by piece, never showing half a character.
public struct StreamingDecoder: Sendable {
  private let tokenizer: any Tokenizer
  private var ids: [Int] = []
  private var shown = ""

  public init(_ tokenizer: any Tokenizer) { self.tokenizer = tokenizer }

  /// The text that `id` adds for certain; bytes of an unfinished character wait for the next call.
  ///
  /// - Throws: What the tokenizer throws.
  public mutating func append(_ id: Int) throws -> String {
    ids.append(id)
    var text = try tokenizer.decode(ids)
    while text.hasSuffix("\u{FFFD}") { text.removeLast() }
    return show(text)
  }

  /// What is still held back when no more ids come.
  ///
  /// - Throws: What the tokenizer throws.
  public mutating func finish() throws -> String { show(try tokenizer.decode(ids)) }

  private mutating func show(_ text: String) -> String {
    guard text.unicodeScalars.count > shown.unicodeScalars.count else { return "" }
    let new = String(text.unicodeScalars.dropFirst(shown.unicodeScalars.count))
    shown = text
    return new
  }
}
