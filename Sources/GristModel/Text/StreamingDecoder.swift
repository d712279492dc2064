/// Turns a growing list of ids into text piece by piece, never showing half a character.
///
/// The text of all ids so far would be decoded anew for every id. Decoded are only the last few: those since the last
/// whole character, and before them as many as it takes for the beginning of a text, where tokenizers drop a blank, to
/// lie behind.
package struct StreamingDecoder: Sendable {
  private let tokenizer: any Tokenizer
  /// Ids from the beginning of the window on.
  private var window: [Int] = []
  /// How many of them are shown.
  private var shown = 0
  /// The text of those.
  private var shownText: [UInt8] = []

  package init(_ tokenizer: any Tokenizer) { self.tokenizer = tokenizer }

  /// The text that `id` adds for certain; bytes of an unfinished character wait for the next call.
  ///
  /// - Throws: What the tokenizer throws.
  package mutating func append(_ id: Int) throws -> String {
    window.append(id)
    let text = try tokenizer.decode(window)
    // U+FFFD may stand for bytes whose character is not finished. A character more could change the last one that was
    // shown only there.
    guard text.unicodeScalars.last != "\u{FFFD}" else { return "" }
    return try show(text)
  }

  /// What is still held back when no more ids come.
  ///
  /// - Throws: What the tokenizer throws.
  package mutating func finish() throws -> String { try show(tokenizer.decode(window)) }

  private mutating func show(_ text: String) throws -> String {
    let bytes = Array(text.utf8)
    guard bytes.count > shownText.count else { return "" }
    let new = String(decoding: bytes[shownText.count...], as: UTF8.self)
    // What is shown now becomes the window's beginning, if it is a text of its own.
    let rest = Array(window[shown...])
    let restText = try Array(tokenizer.decode(rest).utf8)
    if !restText.isEmpty {
      (window, shown, shownText) = (rest, rest.count, restText)
    } else {
      (shown, shownText) = (window.count, bytes)
    }
    return new
  }
}
