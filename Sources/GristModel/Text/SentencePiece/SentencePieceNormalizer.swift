import GristCore

/// Changes a text as SentencePiece does before it looks for pieces: characters by a map, blanks to marks.
struct SentencePieceNormalizer: Sendable {
  private let settings: SentencePieceModel.Normalization
  private let putsBlanksBehind: Bool
  private let map: CharacterMap?
  /// Pieces that are left as they are.
  private let userDefined: PieceTable?

  /// - Throws: 65 when the map is none.
  init(
    _ settings: SentencePieceModel.Normalization, putsBlanksBehind: Bool, userDefined: PieceTable?
  ) throws {
    self.settings = settings
    self.putsBlanksBehind = putsBlanksBehind
    self.userDefined = userDefined
    map = settings.characterMap.count == 0 ? nil : try CharacterMap(settings.characterMap)
  }

  /// - Throws: 65 when the model's character map points outside of itself.
  func normalize(_ text: [UInt8], takesPrefix: Bool = true) throws -> [UInt8] {
    guard !text.isEmpty else { return [] }
    let blank: [UInt8] = settings.escapesBlanks ? blankMark : [0x20]
    var rest = text[...]
    // Blanks at the beginning go.
    while settings.removesExtraBlanks, !rest.isEmpty {
      let (changed, length) = try beginning(of: rest)
      guard changed == [0x20] else { break }
      rest = rest.dropFirst(length)
    }
    guard !rest.isEmpty else { return [] }
    var result: [UInt8] = []
    result.reserveCapacity(text.count * 3)
    if !putsBlanksBehind, settings.addsDummyPrefix, takesPrefix { result += blank }
    var followsBlank = settings.removesExtraBlanks
    while !rest.isEmpty {
      var (changed, length) = try beginning(of: rest)
      while followsBlank, changed.first == 0x20 { changed = changed.dropFirst() }
      if !changed.isEmpty {
        for byte in changed {
          if settings.escapesBlanks, byte == 0x20 { result += blankMark } else { result.append(byte) }
        }
        followsBlank = changed.last == 0x20
      }
      rest = rest.dropFirst(length)
      if !settings.removesExtraBlanks { followsBlank = false }
    }
    // And those at the end.
    while settings.removesExtraBlanks, result.count >= blank.count, result.suffix(blank.count) == blank[...] {
      result.removeLast(blank.count)
    }
    if putsBlanksBehind, settings.addsDummyPrefix, takesPrefix { result += blank }
    return result
  }

  /// What the beginning of a text becomes, and how many bytes of it that was.
  private func beginning(of text: ArraySlice<UInt8>) throws -> (changed: ArraySlice<UInt8>, length: Int) {
    if let length = userDefined?.longestBeginning(of: text) { return (text.prefix(length), length) }
    if let map, let found = try map.longest(text) { return found }
    guard let length = validCharacterLength(text) else { return ([0xef, 0xbf, 0xbd], 1) }
    return (text.prefix(length), length)
  }
}

/// A map of byte strings to byte strings: a double-array trie (Darts-clone's layout), then texts that end with NUL.
/// What it points to is looked at before it is used: such maps come with models that anybody may have written.
struct CharacterMap: Sendable {
  private let units: [UInt32]
  private let texts: [UInt8]
  /// Entries that a text may begin with, as many as the reference implementation looks at.
  private static let mostResults = 32

  /// - Throws: 65 when the lengths do not fit.
  init(_ bytes: Bytes) throws {
    guard let size = bytes.integer(at: 0, as: UInt32.self), size % 4 == 0, size >= 4,
      let trie = bytes.slice(4, Int(size)), let texts = bytes.slice(4 + trie.count, bytes.count - 4 - trie.count)
    else { throw Self.damaged() }
    units = (0..<trie.count / 4).compactMap { trie.integer(at: 4 * $0, as: UInt32.self) }
    self.texts = texts.array
  }

  private static func damaged() -> GristError {
    GristError(
      .badData, "the tokenizer's map of characters points outside of itself", advice: "fetch the tokenizer again")
  }

  private func unit(_ index: UInt32) throws -> UInt32 {
    guard index < units.count else { throw Self.damaged() }
    return units[Int(index)]
  }

  private static func offset(_ unit: UInt32) -> UInt32 { (unit >> 10) << ((unit >> 9 & 1) * 8) }

  /// The longest entry that the text begins with: what it becomes, and its length; nil where there is none.
  ///
  /// - Throws: 65 when the map points outside of itself.
  func longest(_ text: ArraySlice<UInt8>) throws -> (changed: ArraySlice<UInt8>, length: Int)? {
    var found: (value: UInt32, length: Int)?
    var results = 0
    var position = Self.offset(try unit(0))
    for (count, byte) in text.enumerated() {
      position ^= UInt32(byte)
      let unit = try unit(position)
      guard unit & 0x8000_00ff == UInt32(byte) else { break }
      position ^= Self.offset(unit)
      if unit >> 8 & 1 == 1, results < Self.mostResults {
        found = (try self.unit(position) & 0x7fff_ffff, count + 1)
        results += 1
      }
    }
    guard let found else { return nil }
    guard found.value < texts.count, let end = texts[Int(found.value)...].firstIndex(of: 0) else {
      throw Self.damaged()
    }
    return (texts[Int(found.value)..<end], found.length)
  }
}
