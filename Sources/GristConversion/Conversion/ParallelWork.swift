import GristCore
import GristKernels
import GristSources

/// Keeps all threads busy during a conversion: beside each batch of chunks that is encoded, one thread writes the batch
/// before it and one hashes the source's files as far as the conversion has come.
final class ParallelWork {
  let hashing: FileHasher
  private let pool: ThreadPool
  private var waiting: [() throws -> Void] = []

  /// What a thread can take.
  private enum Job {
    case write, hash
    case encode(Int)
  }

  init(pool: ThreadPool, hashing: FileHasher) {
    self.pool = pool
    self.hashing = hashing
  }

  /// Puts work aside that has to be done in order, one after the other, but not now.
  func later(_ work: @escaping () throws -> Void) { waiting.append(work) }

  /// The results of `body` for every index in `0 ..< count`. What was put aside is done meanwhile, and `sourceBytes`
  /// more of the source's files are hashed.
  ///
  /// - Throws: What any of them throws.
  func map<Result: Sendable>(
    _ count: Int, sourceBytes: Int, _ body: @Sendable (_ index: Int) throws -> Result
  ) throws -> [Result] {
    // One thread has the one, one the other.
    nonisolated(unsafe) let (earlier, hashing) = (waiting, hashing)
    waiting = []
    let jobs: [Job] = [.write, .hash] + (0..<count).map { .encode($0) }
    let results = try pool.map(jobs.count) { index -> Result? in
      switch jobs[index] {
      case .write:
        for work in earlier { try work() }
        return nil
      case .hash:
        try hashing.advance(by: sourceBytes)
        return nil
      case .encode(let index): return try body(index)
      }
    }
    return results.compactMap { $0 }
  }

  /// Does what is still waiting.
  func finishWriting() throws {
    for work in waiting { try work() }
    waiting = []
  }
}
