import GristCheckpoints
import GristCore
import GristKernels

/// Keeps all threads busy during a conversion: beside each batch of chunks that is encoded, one thread writes the batch
/// before it and one hashes the source's files as far as the conversion has come.
final class ParallelWork {
  let hashing: FileHasher
  private let pool: ThreadPool
  private var waiting: [() throws -> Void] = []

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
  func map<Result>(_ count: Int, sourceBytes: Int, _ body: (_ index: Int) throws -> Result) throws -> [Result] {
    let earlier = waiting
    waiting = []
    let results = try pool.map(count + 2) { index -> Result? in
      switch index {
      case 0:
        for work in earlier { try work() }
        return nil
      case 1:
        try hashing.advance(by: sourceBytes)
        return nil
      default: return try body(index - 2)
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
