internal import Glibc

/// A state that several threads change, and wait for changes of.
package final class Monitor<State>: @unchecked Sendable {
  // Unchecked: the state is touched under the lock alone.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var state: State

  package init(_ state: State) {
    self.state = state
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  /// Changes the state, and wakes all who wait.
  ///
  /// - Throws: What `body` throws.
  package func change<Result>(_ body: (inout State) throws -> Result) rethrows -> Result {
    pthread_mutex_lock(mutex)
    defer {
      pthread_cond_broadcast(changed)
      pthread_mutex_unlock(mutex)
    }
    return try body(&state)
  }

  /// Waits until `body` gives something; it is asked again after every change. Where `isInterruptible`, the user can
  /// end the wait.
  ///
  /// - Throws: What `body` throws, and 130 where the user interrupts.
  package func wait<Result>(
    isInterruptible: Bool = false, for body: (inout State) throws -> Result?
  ) throws -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while true {
      if let result = try body(&state) {
        pthread_cond_broadcast(changed)
        return result
      }
      guard isInterruptible else {
        pthread_cond_wait(changed, mutex)
        continue
      }
      try Interruption.check()
      var until = timespec()
      clock_gettime(CLOCK_REALTIME, &until)
      until.tv_nsec += 100_000_000
      if until.tv_nsec >= 1_000_000_000 {
        until.tv_nsec -= 1_000_000_000
        until.tv_sec += 1
      }
      pthread_cond_timedwait(changed, mutex, &until)
    }
  }
}

/// Threads that all run the same function until it returns.
package final class ServiceThreads: @unchecked Sendable {
  // Unchecked: handles that are written before and read after the threads run.
  private var handles: [pthread_t] = []

  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  /// Starts `count` threads, of which the system may give fewer.
  ///
  /// - Throws: 71 when it gives none.
  package init(count: Int, _ run: @escaping @Sendable () -> Void) throws {
    for _ in 0..<count {
      var handle = pthread_t()
      let body = Unmanaged.passRetained(Body(run))
      let status = pthread_create(
        &handle, nil,
        { argument in
          if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
          return nil
        }, body.toOpaque())
      guard status == 0 else {
        body.release()
        break
      }
      handles.append(handle)
    }
    guard !handles.isEmpty else { throw GristError(.outOfMemory, "cannot start a thread") }
  }

  /// Waits until all have returned. To be called once.
  package func join() {
    for handle in handles { pthread_join(handle, nil) }
    handles = []
  }
}
