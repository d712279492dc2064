import GristCore

/// Weights that are read over and over in the same order, a little before they are needed: the next tensors are read,
/// checked and unpacked into a ring of memory while the one that is there is computed with.
///
/// What is taken stays where it is until nobody holds it.
final class WeightStream: Sendable {
  /// Reads under way at a time: as many as a disk likes that answers one by one, and few enough to leave the cores to
  /// those who compute.
  static let depth = 4

  private let core: Core
  private let threads: ServiceThreads

  /// Starts to read.
  ///
  /// - Parameters:
  ///   - tensors: in the order in which they will be taken; after the last comes the first again.
  ///   - capacity: bytes of the ring: what is held together, and room to read ahead.
  ///   - open: a tensor's file.
  ///
  /// - Throws: 71 when memory or threads are refused, 66 and 74 when a file cannot be opened.
  init(_ tensors: [StoredTensor], capacity: Int, open: (StoredTensor) throws -> DirectFile) throws {
    let core = try Core(tensors, capacity: capacity, files: tensors.map(open))
    let staging = DirectFile.room(for: tensors.reduce(1) { max($0, $1.longestPiece) })
    self.core = core
    threads = try ServiceThreads(count: Self.depth) { core.serve(stagingBytes: staging) }
  }

  deinit {
    core.stop()
    threads.join()
  }

  var statistics: StreamingStatistics { core.statistics }

  /// The runs of a tensor, once they are read.
  ///
  /// - Throws: 65 and 74 as reading it does, and 130 when the user interrupts the wait.
  func take(_ name: String) throws -> [Bytes] { try core.take(name) }
}

/// What threads and takers share; it lives until the last of what was taken is let go.
private final class Core: Sendable {
  private struct Slot {
    let number: Int
    let tensor: Int
    let start: Int
    var nextPiece = 0
    var unread: Int
    var isReady: Bool { unread == 0 }
  }

  private struct State {
    var space: RingSpace
    /// Reserved and not taken, in order.
    var waiting: [Slot] = []
    /// Of the next slot, and the tensor that it will be for.
    var number = 0
    var tensor = 0
    var inFlight = 0
    var isHalted = false
    var isStopped = false
    var failure: (any Error)?
    var statistics = StreamingStatistics()
    /// When the first tensor was wanted, and since when reads are under way.
    var began: ContinuousClock.Instant?
    var readingSince: ContinuousClock.Instant?
  }

  private struct Job {
    let number: Int
    let tensor: Int
    let piece: Int
    let start: Int
  }

  private let tensors: [StoredTensor]
  private let places: [ByteName: Int]
  private let files: [DirectFile]
  private let memory: PageMemory
  private let monitor: Monitor<State>

  init(_ tensors: [StoredTensor], capacity: Int, files: [DirectFile]) throws {
    self.tensors = tensors
    self.files = files
    places = Dictionary(
      tensors.enumerated().map { (ByteName($0.element.name), $0.offset) }, uniquingKeysWith: { first, _ in first })
    memory = try PageMemory(byteCount: max(capacity, 1))
    monitor = Monitor(State(space: RingSpace(capacity: capacity)))
  }

  var statistics: StreamingStatistics {
    monitor.change { state in
      var statistics = state.statistics
      if state.inFlight > 0, let since = state.readingSince {
        statistics.readingSeconds += (ContinuousClock.now - since).seconds
      }
      return statistics
    }
  }

  func stop() { monitor.change { $0.isStopped = true } }

  /// What a thread does until it is stopped.
  func serve(stagingBytes: Int) {
    let staging: PageMemory
    do { staging = try PageMemory(byteCount: stagingBytes) } catch {
      return monitor.change { $0.failure = $0.failure ?? error }
    }
    while let job = next() {
      let tensor = tensors[job.tensor]
      var failure: (any Error)?
      do {
        if let base = memory.memory.baseAddress {
          try tensor.read(
            piece: job.piece, from: files[job.tensor], staging: staging.memory, to: base + job.start)
        }
      } catch { failure = error }
      finish(job, failure)
    }
  }

  private func next() -> Job? {
    let job = try? monitor.wait { state -> Job?? in
      if state.isStopped { return .some(nil) }
      guard !state.isHalted, state.failure == nil else { return nil }
      if state.waiting.last.map({ $0.nextPiece == tensors[$0.tensor].pieces.count }) ?? true {
        guard reserve(&state) else { return nil }
      }
      let last = state.waiting.count - 1
      let slot = state.waiting[last]
      state.waiting[last].nextPiece += 1
      if state.inFlight == 0 { state.readingSince = .now }
      state.inFlight += 1
      return Job(number: slot.number, tensor: slot.tensor, piece: slot.nextPiece, start: slot.start)
    }
    return job ?? nil
  }

  /// Makes room for the next tensor; false while there is none.
  private func reserve(_ state: inout State) -> Bool {
    let tensor = tensors[state.tensor]
    guard !tensor.pieces.isEmpty, let start = state.space.reserve(tensor.roundedBytes, number: state.number) else {
      return false
    }
    state.waiting.append(
      Slot(number: state.number, tensor: state.tensor, start: start, unread: tensor.pieces.count))
    state.number += 1
    state.tensor = (state.tensor + 1) % tensors.count
    return true
  }

  private func finish(_ job: Job, _ failure: (any Error)?) {
    monitor.change { state in
      state.inFlight -= 1
      if state.inFlight == 0, let since = state.readingSince {
        state.statistics.readingSeconds += (ContinuousClock.now - since).seconds
      }
      if let failure { state.failure = state.failure ?? failure }
      state.statistics.bytesRead += tensors[job.tensor].pieces[job.piece].storedBytes
      if let index = state.waiting.firstIndex(where: { $0.number == job.number }) { state.waiting[index].unread -= 1 }
    }
  }

  func take(_ name: String) throws -> [Bytes] {
    guard let wanted = places[ByteName(name)] else { return [] }
    let clock = ContinuousClock()
    let began = clock.now
    try resume(at: wanted)
    let slot = try monitor.wait(isInterruptible: true) { state -> Slot? in
      if let failure = state.failure { throw failure }
      guard let first = state.waiting.first, first.isReady else { return nil }
      return state.waiting.removeFirst()
    }
    let ended = clock.now
    monitor.change { state in
      let first = state.began ?? began
      state.began = first
      state.statistics.waitSeconds += (ended - began).seconds
      state.statistics.seconds = (ended - first).seconds
    }
    let lease = Lease(self, number: slot.number)
    return tensors[slot.tensor].runs { range in
      Bytes(
        base: memory.memory.baseAddress.map { UnsafeRawPointer($0 + slot.start + range.lowerBound) },
        count: range.count, owner: lease)
    }
  }

  /// Goes on from another tensor than the next, where that is asked for: a pass was given up.
  private func resume(at wanted: Int) throws {
    let isNext = monitor.change { state -> Bool in
      let next = state.waiting.first?.tensor ?? state.tensor
      state.isHalted = next != wanted
      return next == wanted
    }
    if isNext { return }
    try monitor.wait(isInterruptible: true) { state -> Void? in
      guard state.inFlight == 0 else { return nil }
      if let first = state.waiting.first { state.space.forget(from: first.number) }
      state.waiting = []
      state.tensor = wanted
      state.isHalted = false
      return ()
    }
  }

  func release(_ number: Int) { monitor.change { $0.space.release(number: number) } }
}

/// Keeps a tensor's place in the ring.
private final class Lease: Sendable {
  private let core: Core
  private let number: Int

  init(_ core: Core, number: Int) {
    self.core = core
    self.number = number
  }

  deinit { core.release(number) }
}

extension StoredTensor {
  /// Memory that it takes in a row of tensors that each begin on a multiple of 64.
  var roundedBytes: Int {
    (byteCount + AlignedBuffer.alignment - 1) / AlignedBuffer.alignment * AlignedBuffer.alignment
  }
}
