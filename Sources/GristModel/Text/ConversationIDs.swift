import GristCore
import GristSources

extension Conversation {
  /// The prompt's ids: what every sequence begins with, then each part between image placeholders, ``imageID`` between.
  ///
  /// - Throws: What rendering and the tokenizer throw.
  public func inputIDs(_ tokenizer: some Tokenizer, _ format: ConversationFormat) throws -> [Int] {
    let rendering = try rendering(format)
    var ids = rendering.takesPrefix ? tokenizer.prefix : []
    let parts = rendering.text.split(atBytesOf: Self.imagePlaceholder)
    for (index, part) in parts.enumerated() {
      if index > 0 { ids.append(Self.imageID) }
      ids += try tokenizer.encode(part, isStart: index == 0)
    }
    return ids
  }
}
