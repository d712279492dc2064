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

  @Test("the error of the lowest index comes out")
  func throwing() throws {
    struct Failure: Error, Equatable { let index: Int }
    let pool = try ThreadPool(threads: 4)
    #expect(throws: Failure(index: 3)) {
      try pool.runThrowing(100) { index, _ in if index % 4 == 3 { throw Failure(index: index) } }
    }
  }
}
