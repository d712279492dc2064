internal import Glibc
import GristCore
internal import Synchronization

/// Memory of the matrices that come and go while a model computes.
///
/// A prompt's intermediate results are some megabytes each, and of the same sizes layer after layer. Memory that the
/// system has just handed out costs as much to be cleared, page by page, as a tenth of the arithmetic that fills it; so
/// what a matrix leaves behind is kept for the next of its size.
package enum RecycledMemory {
  /// What is kept at most, beside what is in use, where nothing else was said.
  package static let keptBytes = 256 << 20
  /// Smaller pieces are the allocator's business.
  private static let smallestKept = 64 << 10
  private static let hugePage = 2 << 20

  private struct Piece {
    let base: UnsafeMutableRawPointer
    let size: Int
  }

  /// Pieces that nobody uses, the longest forgotten first.
  private struct Shelf {
    var pieces: [Piece] = []
    var bytes = 0
    var limit = keptBytes

    /// Takes off what is too much, longest forgotten first.
    mutating func shed() -> [UInt] {
      var count = 0
      while bytes > limit, count < pieces.count {
        bytes -= pieces[count].size
        count += 1
      }
      defer { pieces.removeFirst(count) }
      return pieces.prefix(count).map { UInt(bitPattern: $0.base) }
    }
  }

  // Unsafe in name only: a piece on the shelf belongs to nobody else.
  private static let shelf = Mutex(Shelf())

  /// At least `byteCount` bytes whose content is anything, aligned as ``AlignedBuffer`` is. To be handed back by
  /// ``give(_:byteCount:)`` with the same number.
  static func take(byteCount: Int) -> UnsafeMutableRawPointer {
    let size = size(for: byteCount)
    let kept = shelf.withLock { shelf in
      guard size >= smallestKept, let index = shelf.pieces.lastIndex(where: { $0.size == size }) else {
        return nil as UInt?
      }
      shelf.bytes -= size
      return UInt(bitPattern: shelf.pieces.remove(at: index).base)
    }
    if let kept, let piece = UnsafeMutableRawPointer(bitPattern: kept) { return piece }
    return fresh(byteCount: size)
  }

  /// Memory that nobody had before, for as long as its owner likes: to be deallocated. In large pages from 4 MB on,
  /// whose addresses are found faster.
  static func fresh(byteCount: Int) -> UnsafeMutableRawPointer {
    guard byteCount >= 2 * hugePage else {
      return .allocate(byteCount: max(byteCount, 1), alignment: AlignedBuffer.alignment)
    }
    let piece = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: hugePage)
    // A wish: where there are no large pages, small ones it is. A large page at the end would take more than was asked.
    madvise(piece, byteCount / hugePage * hugePage, MADV_HUGEPAGE)
    return piece
  }

  static func give(_ piece: UnsafeMutableRawPointer, byteCount: Int) {
    let size = size(for: byteCount)
    guard size >= smallestKept else { return piece.deallocate() }
    let address = UInt(bitPattern: piece)
    let forgotten = shelf.withLock { shelf in
      if let base = UnsafeMutableRawPointer(bitPattern: address) {
        shelf.pieces.append(Piece(base: base, size: size))
        shelf.bytes += size
      }
      return shelf.shed()
    }
    for address in forgotten { UnsafeMutableRawPointer(bitPattern: address)?.deallocate() }
  }

  /// From now on keeps no more than `limit` bytes, for the whole process; what is given back beyond that goes back to
  /// the system at once.
  package static func keep(atMost limit: Int) {
    returnLargePieces(from: 1 << 20)
    let forgotten = shelf.withLock { shelf in
      shelf.limit = limit
      return shelf.shed()
    }
    for address in forgotten { UnsafeMutableRawPointer(bitPattern: address)?.deallocate() }
  }

  /// Large sizes are rounded up by at most an eighth, so that few different ones are kept.
  private static func size(for byteCount: Int) -> Int {
    guard byteCount > smallestKept else { return max(byteCount, 1) }
    let step = 1 << (Int.bitWidth - 1 - byteCount.leadingZeroBitCount - 3)
    return (byteCount + step - 1) & ~(step - 1)
  }
}
