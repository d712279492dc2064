internal import CGristKernels
import GristCore

/// The one pool of compute threads. Swift's concurrency is for I/O; arithmetic runs here.
public final class ThreadPool: @unchecked Sendable {
  // Unchecked: the C pool serialises its callers itself.
  private let pool: OpaquePointer
  public let threadCount: Int

  /// Starts `threads` ≥ 1 threads, the caller of ``run(_:_:)`` counted in.
  ///
  /// - Throws: 71 when the system has none left.
  public init(threads: Int) throws {
    // Nothing computes without a pool: from here on OpenBLAS has been told to use the calling thread only. A product
    // that came first would be cut otherwise, and differ in its last bits.
    _ = kernels
    guard let pool = grist_pool_create(max(threads, 1)) else {
      throw GristError(.outOfMemory, "cannot start \(threads) threads", advice: "ask for fewer with --threads")
    }
    self.pool = pool
    threadCount = grist_pool_threads(pool)
  }

  deinit { grist_pool_destroy(pool) }

  /// Calls `body(index, worker)` for every index in `0 ..< count`, several at a time, and returns when all are done.
  /// `worker` is in `0 ..< threadCount`; calls with the same worker never overlap. `body` is called from
  /// several threads at once: what it writes to must be disjoint memory.
  public func run(_ count: Int, _ body: @Sendable (_ index: Int, _ worker: Int) -> Void) {
    withoutActuallyEscaping(body) { escaping in
      var task = Task(body: escaping)
      withUnsafeMutablePointer(to: &task) { context in
        grist_pool_run(
          pool, max(count, 0),
          { context, index, worker in
            context?.assumingMemoryBound(to: Task.self).pointee.body(index, worker)
          }, context)
      }
    }
  }

  /// Like ``run(_:_:)`` for work that can fail: when calls throw, the error of the lowest index is rethrown after all
  /// are done.
  ///
  /// - Throws: What the first task that fails throws; tasks that have begun end first.
  public func runThrowing(_ count: Int, _ body: @Sendable (_ index: Int, _ worker: Int) throws -> Void) throws {
    guard count > 0 else { return }
    // Every call writes its own.
    nonisolated(unsafe) let errors = UnsafeMutableBufferPointer<(any Error)?>.allocate(capacity: count)
    errors.initialize(repeating: nil)
    defer {
      errors.deinitialize()
      errors.deallocate()
    }
    run(count) { index, worker in
      do { try body(index, worker) } catch { errors[index] = error }
    }
    if let first = errors.lazy.compactMap({ $0 }).first { throw first }
  }

  /// The results of `body(index)` for every index, computed several at a time. Rethrows as ``runThrowing(_:_:)`` does.
  ///
  /// - Throws: What the first task that fails throws; tasks that have begun end first.
  public func map<Result: Sendable>(_ count: Int, _ body: @Sendable (_ index: Int) throws -> Result) throws -> [Result]
  {
    guard count > 0 else { return [] }
    nonisolated(unsafe) let results = UnsafeMutableBufferPointer<Result?>.allocate(capacity: count)
    results.initialize(repeating: nil)
    defer {
      results.deinitialize()
      results.deallocate()
    }
    try runThrowing(count) { index, _ in results[index] = try body(index) }
    return results.compactMap { $0 }
  }

  private struct Task {
    let body: @Sendable (Int, Int) -> Void
  }
}
