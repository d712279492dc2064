import GristKernels
import Synchronization
import Testing

@Suite("The pool of threads") struct ThreadPoolTests {
  @Test("a task of one pool may use another: workers are numbered by the pool that runs them")
  func nestedPools() throws {
    let (outer, inner) = (try ThreadPool(threads: 8), try ThreadPool(threads: 2))
    let seen = Mutex((greatest: 0, calls: 0, outside: 0))
    outer.run(32) { _, worker in
      inner.run(16) { _, innerWorker in
        seen.withLock {
          $0.greatest = max($0.greatest, innerWorker)
          $0.calls += 1
        }
      }
      // Back in the outer pool's task its own number is in force again.
      outer.run(2) { _, again in if again != worker { seen.withLock { $0.outside += 1 } } }
    }
    let result = seen.withLock { $0 }
    #expect(result.greatest < 2 && result.calls == 512 && result.outside == 0)
  }

  @Test("a task that uses its own pool runs in place")
  func nestedInPlace() throws {
    let pool = try ThreadPool(threads: 4)
    let calls = Mutex(0)
    pool.run(10) { _, worker in
      pool.run(10) { _, inner in
        #expect(inner == worker)
        calls.withLock { $0 += 1 }
      }
    }
    #expect(calls.withLock { $0 } == 100)
  }

  @Test("every index is called once, by a thread that begins with its own stretch or by one that took over")
  func shares() throws {
    let pool = try ThreadPool(threads: 3)
    for count in [0, 1, 2, 3, 4, 7, 1000] {
      let calls = Mutex([Int](repeating: 0, count: count))
      pool.run(count) { index, _ in calls.withLock { $0[index] += 1 } }
      #expect(calls.withLock { $0 } == [Int](repeating: 1, count: count))
    }
    // The thread that calls index 0 waits for all others: they can only be called by those that take over its share.
    let others = Atomic(0)
    pool.run(90) { index, _ in
      if index == 0 {
        while others.load(ordering: .acquiring) < 89 {}
      } else {
        others.add(1, ordering: .releasing)
      }
    }
    #expect(others.load(ordering: .acquiring) == 89)
    // Nobody ends the first index of a stretch before all three have begun: each was begun by the thread it belongs to.
    let begun = Atomic(0)
    let callers = Mutex([Int: Int]())
    pool.run(6) { index, worker in
      callers.withLock { $0[index] = worker }
      guard index % 2 == 0 else { return }
      begun.add(1, ordering: .acquiringAndReleasing)
      while begun.load(ordering: .acquiring) < 3 {}
    }
    #expect(callers.withLock { [$0[0], $0[2], $0[4]] } == [0, 1, 2])
  }

  @Test("the error of the lowest index comes out")
  func throwing() throws {
    struct Failure: Error, Equatable { let index: Int }
    let pool = try ThreadPool(threads: 4)
    #expect(throws: Failure(index: 3)) {
      try pool.runThrowing(100) { index, _ in if index % 4 == 3 { throw Failure(index: index) } }
    }
  }
}
