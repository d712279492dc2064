import GristCore
internal import HeapModule

/// Pieces that a normalized text becomes: stretches of it and their ids.
typealias FoundPiece = (bytes: Range<Int>, id: Int)

/// The most likely cut of a text under a unigram model (Kudo 2018): Viterbi's search over all pieces that begin at each
/// character, as SentencePiece's optimized encoder does it, rounding included.
struct UnigramSearch: Sendable {
  let model: SentencePieceModel
  let pieces: PieceTable
  let unknown: Int
  private let unknownScore: Float
  private let greatestScore: Float

  init(_ model: SentencePieceModel, pieces: PieceTable, unknown: Int) {
    self.model = model
    self.pieces = pieces
    self.unknown = unknown
    let normal = model.types.indices.filter { model.types[$0] == .normal }.map { model.scores[$0] }
    let penalty: Float = 10
    unknownScore = (normal.min() ?? .greatestFiniteMagnitude) - penalty
    // The reference starts its search for the greatest from the least positive number.
    greatestScore = max(normal.max() ?? .leastNormalMagnitude, .leastNormalMagnitude)
  }

  func callAsFunction(_ text: [UInt8]) -> [FoundPiece] {
    struct Node {
      var id = -1
      var score: Float = 0
      var start = -1
    }
    var nodes = [Node](repeating: Node(), count: text.count + 1)
    func offer(_ end: Int, _ id: Int, _ start: Int, _ score: Float) {
      let candidate = score + nodes[start].score
      if nodes[end].start == -1 || candidate > nodes[end].score {
        nodes[end] = Node(id: id, score: candidate, start: start)
      }
    }
    var start = 0
    while start < text.count {
      let character = min(characterLength(text[start]), text.count - start)
      var hasCharacter = false
      pieces.forEachBeginning(of: text[start...]) { id, length in
        guard model.types[id] != .unused else { return }
        let score =
          model.types[id] == .userDefined
          ? Float(Double(Float(length) * greatestScore) - 0.1) : model.scores[id]
        offer(start + length, id, start, score)
        if length == character { hasCharacter = true }
      }
      if !hasCharacter { offer(start + character, unknown, start, unknownScore) }
      start += character
    }
    var found: [FoundPiece] = []
    var end = text.count
    while end > 0, nodes[end].start >= 0 {
      found.append((nodes[end].start..<end, nodes[end].id))
      end = nodes[end].start
    }
    return found.reversed()
  }
}

/// Byte-pair encoding as SentencePiece does it: of all neighbours that together are a piece, those of the highest score
/// become one first, the leftmost of several.
struct BytePairSearch: Sendable {
  let model: SentencePieceModel
  let pieces: PieceTable
  let userDefined: PieceTable?
  /// The id of any spelling.
  let id: @Sendable (ArraySlice<UInt8>) -> Int

  private struct Symbol {
    var bytes: Range<Int>
    var previous: Int
    var next: Int
    let isFrozen: Bool
  }

  private struct Pair: Comparable {
    let score: Float
    let left: Int
    let right: Int
    let length: Int

    /// The greater one is merged first.
    static func < (a: Pair, b: Pair) -> Bool { a.score != b.score ? a.score < b.score : a.left > b.left }
    static func == (a: Pair, b: Pair) -> Bool { a.score == b.score && a.left == b.left }
  }

  func callAsFunction(_ text: [UInt8]) -> [FoundPiece] {
    var symbols: [Symbol] = []
    var start = 0
    while start < text.count {
      let special = userDefined?.longestBeginning(of: text[start...])
      let length = special ?? min(characterLength(text[start]), text.count - start)
      symbols.append(
        Symbol(
          bytes: start..<start + length, previous: symbols.count - 1, next: symbols.count + 1, isFrozen: special != nil)
      )
      start += length
    }
    guard !symbols.isEmpty else { return [] }
    symbols[symbols.count - 1].next = -1
    // What pieces that are only stepping stones were made of.
    var parts: [ArraySlice<UInt8>: (left: Range<Int>, right: Range<Int>)] = [:]
    var agenda = Heap<Pair>()
    func consider(_ left: Int, _ right: Int) {
      guard left >= 0, right >= 0, !symbols[left].isFrozen, !symbols[right].isFrozen else { return }
      let bytes = symbols[left].bytes.lowerBound..<symbols[right].bytes.upperBound
      guard let id = pieces.id(of: text[bytes]) else { return }
      agenda.insert(Pair(score: model.scores[id], left: left, right: right, length: bytes.count))
      if model.types[id] == .unused { parts[text[bytes]] = (symbols[left].bytes, symbols[right].bytes) }
    }
    for index in symbols.indices.dropFirst() { consider(index - 1, index) }
    while let pair = agenda.popMax() {
      let (left, right) = (symbols[pair.left], symbols[pair.right])
      guard !left.bytes.isEmpty, !right.bytes.isEmpty, left.bytes.count + right.bytes.count == pair.length else {
        continue
      }
      symbols[pair.left].bytes = left.bytes.lowerBound..<right.bytes.upperBound
      symbols[pair.left].next = right.next
      if right.next >= 0 { symbols[right.next].previous = pair.left }
      symbols[pair.right].bytes = right.bytes.upperBound..<right.bytes.upperBound
      consider(symbols[pair.left].previous, pair.left)
      consider(pair.left, symbols[pair.left].next)
    }
    var found: [FoundPiece] = []
    var index = 0
    while index >= 0 {
      var waiting = [symbols[index].bytes]
      while let bytes = waiting.popLast() {
        let id = id(text[bytes])
        if model.types[id] == .unused, let (left, right) = parts[text[bytes]] {
          waiting += [right, left]
        } else {
          found.append((bytes, id))
        }
      }
      index = symbols[index].next
    }
    return found
  }
}
