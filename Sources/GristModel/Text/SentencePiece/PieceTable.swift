/// Finds pieces by their spelling: a hash table over the model's own bytes.
///
/// The hash (FNV-1a) grows byte by byte, so that all beginnings of a text are looked up in one pass. It starts from a
/// number that is different in every run: nobody can prepare spellings that all meet in one place.
struct PieceTable: Sendable {
  private let spellings: [UInt8]
  private let starts: [Int]
  /// Ids by hash, -1 where there is none; a power of two of them, half empty at least.
  private var slots: [Int32]
  private let seed = UInt64.random(in: .min ... .max)
  /// Bytes of the longest spelling.
  private(set) var longest = 0

  /// - Parameter ids: of the pieces that are to be found.
  ///
  /// Nil when two of them are spelled alike.
  init?(_ model: SentencePieceModel, ids: [Int]) {
    spellings = model.spellings
    starts = model.starts
    var size = 16
    while size < 2 * ids.count { size *= 2 }
    slots = [Int32](repeating: -1, count: size)
    for id in ids {
      let spelling = model.spelling(id)
      let (place, found) = place(of: spelling, hash: spelling.reduce(seed, Self.mix))
      guard found == nil else { return nil }
      slots[place] = Int32(id)
      longest = max(longest, spelling.count)
    }
  }

  private static func mix(_ hash: UInt64, _ byte: UInt8) -> UInt64 { (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }

  private func place(of spelling: ArraySlice<UInt8>, hash: UInt64) -> (place: Int, id: Int?) {
    // The upper bits know more of the bytes than the lower ones.
    var place = Int(truncatingIfNeeded: hash ^ hash >> 29) & (slots.count - 1)
    while slots[place] >= 0 {
      let id = Int(slots[place])
      if spellings[starts[id]..<starts[id + 1]] == spelling { return (place, id) }
      place = (place + 1) & (slots.count - 1)
    }
    return (place, nil)
  }

  /// The piece that is spelled like this.
  func id(of spelling: ArraySlice<UInt8>) -> Int? {
    guard spelling.count <= longest else { return nil }
    return place(of: spelling, hash: spelling.reduce(seed, Self.mix)).id
  }

  /// Calls `body` with every piece that the text begins with, the shortest first.
  func forEachBeginning(of text: ArraySlice<UInt8>, _ body: (_ id: Int, _ length: Int) -> Void) {
    var hash = seed
    for end in text.indices.prefix(longest) {
      hash = Self.mix(hash, text[end])
      if let id = place(of: text[text.startIndex...end], hash: hash).id { body(id, end + 1 - text.startIndex) }
    }
  }

  /// Bytes of the longest piece that the text begins with.
  func longestBeginning(of text: ArraySlice<UInt8>) -> Int? {
    var longest: Int?
    forEachBeginning(of: text) { longest = $1 }
    return longest
  }
}
