internal import CGristKernels
internal import Glibc
import GristCore

/// Memory that all threads of a pool read together, to see how fast that is: on a shared machine the rate changes within
/// seconds, so it is asked for right beside what waits for memory.
package final class MemoryReader: @unchecked Sendable {
  // Unchecked: written while it is made, and only read after.
  private let buffer: UnsafeMutableRawBufferPointer
  private let pool: ThreadPool
  private let loops: grist_limits

  /// A worker reads pieces this long, so that a slow core holds nobody up.
  private static let pieceBytes = 4 << 20

  /// - Parameters:
  ///   - pool: whose threads read.
  ///   - byteCount: how much they read, rounded up to whole pieces of 4 MB; should be far larger than the caches.
  package init(pool: ThreadPool, byteCount: Int) {
    let pieces = max(1, (byteCount + Self.pieceBytes - 1) / Self.pieceBytes)
    buffer = .allocate(byteCount: pieces * Self.pieceBytes, alignment: 1 << 21)
    self.pool = pool
    loops = grist_limits_of_kernels().pointee
    guard let base = buffer.baseAddress else { return }
    // Small pages would measure the address translation too. A wish: where there are no large ones, small ones it is.
    madvise(base, buffer.count, MADV_HUGEPAGE)
    // Every call works on its own piece.
    nonisolated(unsafe) let first = base
    pool.run(pieces) { piece, _ in
      memset(first + piece * Self.pieceBytes, Int32(1 + piece % 255), Self.pieceBytes)
    }
  }

  /// Bytes that are read.
  package var byteCount: Int { buffer.count }

  deinit { buffer.deallocate() }

  /// Bytes a second, the best of some trials: whatever else the machine does only slows them down.
  ///
  /// From one place in memory and from four: which is faster differs from CPU to CPU.
  package func bytesPerSecond(trials: Int) -> Double {
    guard let base = buffer.baseAddress else { return 0 }
    nonisolated(unsafe) let (first, loops) = (base, loops)
    let clock = ContinuousClock()
    let durations = [1, 4].flatMap { places in
      (0..<max(trials, 1)).map { _ in
        clock.measure {
          pool.run(buffer.count / Self.pieceBytes) { piece, _ in
            _ = loops.read(first + piece * Self.pieceBytes, Self.pieceBytes, places)
          }
        }
      }
    }
    return Double(buffer.count) / max((durations.min() ?? .zero).seconds, 1e-9)
  }
}
