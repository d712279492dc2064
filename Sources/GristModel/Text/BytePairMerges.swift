import GristCore
internal import HeapModule

/// Byte-pair encoding of one piece of text: its characters, joined pair by pair, the earliest learned merge first
/// (Sennrich et al. 2016; what `tokenizers` calls the model BPE).
struct BytePairMerges: Sendable {
  /// What becomes of a character that the vocabulary lacks and that no bytes stand in for.
  enum Unknown: Sendable, Equatable {
    /// Nothing: it is dropped.
    case dropped
    /// An id; one for a whole run of such characters where they fuse.
    case token(Int, fuses: Bool)
  }

  /// The merge of two ids.
  struct Merge: Sendable {
    let rank: Int
    let result: Int
  }

  struct Pair: Hashable, Sendable {
    let left: Int
    let right: Int
  }

  let vocabulary: [ByteName: Int]
  let merges: [Pair: Merge]
  /// Ids of the pieces `<0x00>` to `<0xFF>`; nil where characters do not fall back to bytes.
  let bytes: [Int?]?
  let unknown: Unknown
  /// Whether a piece that the vocabulary holds whole is taken whole, whatever the merges give.
  let prefersWholePieces: Bool

  /// Ids of a piece of text.
  func encode(_ piece: String) -> [Int] {
    if prefersWholePieces, let id = vocabulary[ByteName(piece)] { return [id] }
    return merged(characters(of: piece))
  }

  private func characters(of piece: String) -> [Int] {
    var ids: [Int] = []
    var followsUnknown = false
    for scalar in piece.unicodeScalars {
      let character = String(scalar)
      if let id = vocabulary[ByteName(character)] {
        ids.append(id)
        followsUnknown = false
      } else if let fallback = fallback(character) {
        ids += fallback
        followsUnknown = false
      } else if case .token(let id, let fuses) = unknown {
        if !(fuses && followsUnknown) { ids.append(id) }
        followsUnknown = true
      }
    }
    return ids
  }

  /// Ids of a character's bytes; nil unless there is one for each.
  private func fallback(_ character: String) -> [Int]? {
    guard let bytes else { return nil }
    let ids = character.utf8.compactMap { bytes[Int($0)] }
    return ids.count == character.utf8.count ? ids : nil
  }

  /// A merge that could be made where `position` is the left symbol. Earlier ranks first, then from the left.
  private struct Candidate: Comparable {
    let rank: Int
    let position: Int
    let result: Int

    static func < (a: Candidate, b: Candidate) -> Bool { (a.rank, a.position) < (b.rank, b.position) }
  }

  /// O(n log n) in the number of symbols.
  private func merged(_ symbols: [Int]) -> [Int] {
    guard symbols.count > 1 else { return symbols }
    var symbols = symbols.map { Optional($0) }
    var next = symbols.indices.map { $0 + 1 }
    var previous = symbols.indices.map { $0 - 1 }
    func candidate(_ left: Int) -> Candidate? {
      guard left >= 0, next[left] < symbols.count, let a = symbols[left], let b = symbols[next[left]],
        let merge = merges[Pair(left: a, right: b)]
      else { return nil }
      return Candidate(rank: merge.rank, position: left, result: merge.result)
    }
    var heap = Heap(symbols.indices.compactMap { candidate($0) })
    while let top = heap.popMin() {
      // What stood there may have been merged since.
      guard let current = candidate(top.position), current == top else { continue }
      let right = next[top.position]
      symbols[top.position] = top.result
      symbols[right] = nil
      next[top.position] = next[right]
      if next[right] < symbols.count { previous[next[right]] = top.position }
      for left in [previous[top.position], top.position] {
        if let candidate = candidate(left) { heap.insert(candidate) }
      }
    }
    return symbols.compactMap { $0 }
  }
}
