internal import CGristKernels
import GristCore

/// What this machine can do at best with the pool's threads, measured by loops that do nothing else.
package struct MachineLimits: Sendable {
  /// Bytes a second that all threads together read from memory.
  package let memoryReadBytesPerSecond: Double
  /// int8 multiplications and additions a second of all threads together, between registers, with the instructions that
  /// the chosen kernels use.
  package let int8OperationsPerSecond: Double

  package init(memoryReadBytesPerSecond: Double, int8OperationsPerSecond: Double) {
    self.memoryReadBytesPerSecond = memoryReadBytesPerSecond
    self.int8OperationsPerSecond = int8OperationsPerSecond
  }

  /// Measures both: the best of some trials, since whatever else the machine does only slows them down.
  ///
  /// - Parameters:
  ///   - pool: whose threads are measured.
  ///   - bufferBytes: size of the memory that is read, rounded up to whole blocks; should be far larger than the
  ///     caches.
  ///   - rounds: length of the arithmetic loop; about 10 ns each.
  ///   - trials: how many are tried, 1 or more.
  package static func measure(
    pool: ThreadPool, bufferBytes: Int = 512 << 20, rounds: Int = 10_000_000, trials: Int = 3
  ) -> MachineLimits {
    let loops = grist_limits_of_kernels().pointee
    return MachineLimits(
      memoryReadBytesPerSecond: MemoryReader(pool: pool, byteCount: bufferBytes).bytesPerSecond(trials: trials),
      int8OperationsPerSecond: dotRate(loops, pool, rounds: rounds, trials: trials))
  }

  private static func dotRate(_ loops: grist_limits, _ pool: ThreadPool, rounds: Int, trials: Int) -> Double {
    let pieces = 16 * pool.threadCount
    let roundsPerPiece = max(1, rounds / 16)
    nonisolated(unsafe) let loops = loops
    let seconds = bestSeconds(trials) { pool.run(pieces) { _, _ in _ = loops.dot(roundsPerPiece) } }
    return Double(pieces * roundsPerPiece * loops.operations_per_round) / seconds
  }

  private static func bestSeconds(_ trials: Int, _ body: () -> Void) -> Double {
    let clock = ContinuousClock()
    let durations = (0..<max(trials, 1)).map { _ in clock.measure(body) }
    return max((durations.min() ?? .zero).seconds, 1e-9)
  }
}
