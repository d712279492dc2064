internal import Glibc

/// Memory that the system hands out and takes back in pages, never the allocator: large, and gone when it is let go.
///
/// Not zeroed by anyone but the system. It begins on a page.
package final class PageMemory: @unchecked Sendable {
  // Unchecked: whoever made it sees to it that nobody writes what another reads.
  package let byteCount: Int
  private let base: UnsafeMutableRawPointer

  private static let hugePage = 2 << 20

  /// - Precondition: `byteCount` is positive.
  /// - Throws: 71 when the system refuses.
  package init(byteCount: Int) throws {
    precondition(byteCount > 0)
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    self.byteCount = (byteCount + page - 1) / page * page
    guard
      let address = mmap(
        nil, self.byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | Int32(MAP_ANONYMOUS), -1, 0),
      address != MAP_FAILED
    else { throw GristError(.outOfMemory, "the system refuses memory", found: "\(byteCount) bytes") }
    base = address
    // A wish. Large pages are found faster and cleared faster.
    if self.byteCount >= 4 * Self.hugePage { madvise(base, self.byteCount, MADV_HUGEPAGE) }
  }

  deinit { munmap(base, byteCount) }

  /// All of it.
  package var memory: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: base, count: byteCount)
  }

  /// A part, shared without a copy, that keeps this alive. Nothing may be written there as long as it exists.
  ///
  /// - Precondition: The range lies inside.
  package func bytes(_ range: Range<Int>) -> Bytes {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount)
    return Bytes(base: UnsafeRawPointer(base + range.lowerBound), count: range.count, owner: self)
  }
}
