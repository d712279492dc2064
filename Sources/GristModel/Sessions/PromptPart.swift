import GristSources

/// A piece of a prompt, by what it is rather than by its values: where two prompts begin with the same pieces, the
/// decoder makes the same of them.
struct PromptPart: Equatable {
  enum Content: Equatable {
    case token(Int)
    case picture(identity: String, Granularity)
  }

  let content: Content
  /// Rows of the decoder's input.
  let rows: Int
}

extension VisionLanguageModel.PreparedPrompt {
  /// The pieces up to the first whose identity nobody knows.
  var parts: [PromptPart] {
    var parts: [PromptPart] = []
    var pictures = pictures[...]
    for id in inputIDs {
      if id != Conversation.imageID {
        parts.append(PromptPart(content: .token(id), rows: 1))
      } else if let picture = pictures.popFirst(), let identity = picture.identity, let granularity {
        parts.append(PromptPart(content: .picture(identity: identity, granularity), rows: picture.rows))
      } else {
        break
      }
    }
    return parts
  }
}

extension [PromptPart] {
  /// Rows that two prompts have in common at their beginning.
  func sharedRows(with other: [PromptPart]) -> Int {
    zip(self, other).prefix { $0 == $1 }.reduce(0) { $0 + $1.0.rows }
  }
}
