import GristCore
import GristFormat
import GristKernels
import GristSources
internal import Synchronization

/// Where weights are while a model runs within a budget: some are read once and stay, the rest streams through a ring
/// of memory, pass after pass; nothing is mapped.
package final class Residency: Sendable {
  package let plan: MemoryPlan
  private let pool: ThreadPool
  /// The tensors that stream, in the order in which a pass takes them.
  private let streamed: [StoredTensor]
  private let streamedNames: Set<ByteName>
  private let stream: Mutex<WeightStream?> = Mutex(nil)
  private let files: Mutex<[String: DirectFile]> = Mutex([:])
  /// Rows of tables that were looked up, run by run; the one that was used longest ago goes first.
  private let runs: Mutex<[(key: String, bytes: Bytes)]> = Mutex([])

  /// Bytes of a table's runs that are kept.
  static let keptTableBytes = 4 << 20

  /// - Throws: 65 when a tensor that is to stream does not lie in its file as it is computed with.
  init(_ plan: MemoryPlan, source: Source, pool: ThreadPool) throws {
    self.plan = plan
    self.pool = pool
    let language = try source.configuration().language
    var names = (plan.pinnedLayers..<max(language.layers, plan.pinnedLayers)).flatMap {
      DecoderLayerTensors($0, language).matrices.map(\.name)
    }
    if !plan.pinsHead, !language.tiesWordEmbeddings { names.append(language.head.name) }
    streamed = try names.compactMap { name in
      let tensor = try source.stored(name)
      return tensor.pieces.isEmpty ? nil : tensor
    }
    streamedNames = Set(streamed.map { ByteName($0.name) })
  }

  /// What streaming took so far.
  package var statistics: StreamingStatistics { stream.withLock { $0?.statistics } ?? StreamingStatistics() }

  /// Bytes of the file that a pass streams.
  package var streamedBytes: Int { streamed.reduce(0) { $0 + $1.storedBytes } }

  /// Whether a tensor stays once it was read.
  func keeps(_ name: String, _ part: ModelPart?) -> Bool {
    if streamedNames.contains(ByteName(name)) { return false }
    switch part {
    case .visionEmbeddings, .visionLayer, .projector, .router: return plan.keepsVision
    default: return true
    }
  }

  /// A tensor's runs: out of the ring where it streams, else read into memory of their own.
  ///
  /// - Throws: 65 when it is damaged, 74 when the disk fails, 130 when the user interrupts.
  func runs(of tensor: StoredTensor) throws -> [Bytes] {
    guard streamedNames.contains(ByteName(tensor.name)) else { return try load(tensor) }
    let stream = try stream.withLock { stream in
      if let stream { return stream }
      let made = try WeightStream(streamed, capacity: plan.ringBytes, open: file)
      stream = made
      return made
    }
    return try stream.take(tensor.name)
  }

  /// Takes everything that streams, in a pass's order, and computes nothing with it.
  ///
  /// - Throws: As ``runs(of:)`` does.
  func readThrough() throws { for tensor in streamed { _ = try runs(of: tensor) } }

  /// Reads a tensor whole.
  private func load(_ tensor: StoredTensor) throws -> [Bytes] {
    guard !tensor.pieces.isEmpty else { return tensor.runs { _ in Bytes() } }
    let memory = try PageMemory(byteCount: tensor.byteCount)
    let file = try file(of: tensor)
    let room = DirectFile.room(for: tensor.longestPiece)
    let staging = try PageMemory(byteCount: room * min(pool.threadCount, tensor.pieces.count))
    // Every piece has its own place, every worker its own staging.
    nonisolated(unsafe) let (base, stagings) = (memory.memory, staging.memory)
    let isAlone = tensor.pieces.count == 1
    try pool.runThrowing(tensor.pieces.count) { piece, worker in
      guard let base = base.baseAddress else { return }
      let first = (isAlone ? 0 : worker % max(stagings.count / room, 1)) * room
      try tensor.read(
        piece: piece, from: file, staging: UnsafeMutableRawBufferPointer(rebasing: stagings[first..<first + room]),
        to: base)
    }
    return tensor.runs { memory.bytes($0) }
  }

  /// One run of a table, which is kept for a while: the piece `index`.
  func run(_ index: Int, ofTable tensor: StoredTensor) throws -> Bytes {
    let key = "\(index) \(tensor.name)"
    if let kept = runs.withLock({ runs -> Bytes? in
      guard let place = runs.lastIndex(where: { $0.key == key }) else { return nil }
      let run = runs.remove(at: place)
      runs.append(run)
      return run.bytes
    }) {
      return kept
    }
    let bytes = try load(tensor.piece(index))[0]
    runs.withLock { runs in
      runs.append((key, bytes))
      var total = runs.reduce(0) { $0 + $1.bytes.count }
      while total > Self.keptTableBytes, runs.count > 1 { total -= runs.removeFirst().bytes.count }
    }
    return bytes
  }

  private func file(of tensor: StoredTensor) throws -> DirectFile {
    try files.withLock { files in
      if let file = files[tensor.path] { return file }
      let file = try DirectFile(path: tensor.path, identity: tensor.identity)
      files[tensor.path] = file
      return file
    }
  }
}

extension Source {
  /// A tensor as it lies in its file.
  ///
  /// - Throws: 65 when it is not there, or does not lie in the file as it is computed with.
  func stored(_ name: String) throws -> StoredTensor {
    switch storage {
    case .grist(let file):
      guard let record = file.tensor(named: name) else { break }
      if case .unknown(let scheme) = record.scheme { throw scheme.error(file: path, tensor: name) }
      return StoredTensor(record, in: file)
    case .checkpoint(let checkpoint):
      guard let tensor = checkpoint.tensor(named: name) else { break }
      guard let stored = StoredTensor(tensor) else {
        throw GristError(
          .usage, "a memory budget needs weights that lie in their file as they are computed with", file: tensor.file,
          tensor: name, advice: "convert the checkpoint, with --recipe source to keep every value")
      }
      return stored
    }
    throw GristError(.badData, "the model needs a tensor that is not there", file: path, tensor: name)
  }
}
