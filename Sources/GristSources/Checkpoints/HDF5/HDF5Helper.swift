internal import CGristSystem
internal import Glibc
import GristCore
internal import Synchronization

/// The process that alone links libhdf5, which is attacked through the files it reads: `gristmill-hdf5`. It has no
/// privileges to lose: no file but the one it is given, no network, no other program, bounded memory and processor
/// time. Whatever happens in it ends here as a sentence.
///
/// One helper reads one file; requests wait for each other.
final class HDF5Helper: Sendable {
  /// What the helper and this side say to each other; see `wire.h` of the helper.
  private enum Operation: UInt32 {
    case hello = 1
    case catalogue, read
  }

  private static let fileDescriptor: Int32 = 3
  private static let name = "gristmill-hdf5"
  /// Seconds for an answer to come, and bytes of it or of what it is made from for one second more: the slowest that a
  /// sound file on a slow disk may be. Who drips does not get them anew.
  private static let patience = 30.0
  private static let leastRate = 2_000_000.0
  /// Bytes of a refusal or a greeting at most.
  private static let shortAnswer = 8192

  private let path: String
  private let fileLength: Int
  private let process: Int32
  private let connection: Int32
  private let isBroken = Mutex(false)

  /// The helper beside the running program.
  static func defaultPath() -> String? {
    linkTarget(of: "/proc/self/exe").map { joinPath(folderName(of: $0), name) }
  }

  /// Starts the helper on a file.
  ///
  /// - Parameter range: the bytes of the file that are HDF5, where not all of them are.
  /// - Parameter helper: the helper's executable; nil for the one beside the running program.
  ///
  /// - Throws: 66 when the file or the helper is not there, 65 when the file is no plain one, 74 when the helper cannot
  ///   be started.
  init(file path: String, range: Range<Int>? = nil, helper: String?) throws {
    self.path = path
    let descriptor = try openForReading(path)
    defer { close(descriptor) }
    let range = try range ?? 0..<plainFileLength(descriptor, path: path)
    fileLength = range.count
    guard let executable = helper ?? Self.defaultPath(), fileKind(at: executable) == .file else {
      throw GristError(
        .missingInput, "HDF5 is read by the program \(Self.name), which is not there", file: path,
        found: helper ?? Self.defaultPath(), advice: "put it beside gristmill")
    }
    var (process, connection): (Int32, Int32) = (-1, -1)
    let error = executable.withSystemPath {
      grist_system_start_helper(
        $0, UInt64(range.lowerBound), UInt64(range.count), descriptor, Self.fileDescriptor, &process, &connection)
    }
    guard error == 0 else {
      throw GristError(
        .inputOutput, "cannot start the program that reads HDF5: \(String(cString: strerror(error)))", file: executable)
    }
    self.process = process
    self.connection = connection
  }

  deinit {
    close(connection)
    grist_system_end_helper(process)
  }

  /// How the helper is confined, and by what it reads, for people.
  func confinement() throws -> String { try ask(.hello, longest: Self.shortAnswer).utf8 ?? "" }

  /// The file's datasets as the helper lists them; see `catalogue.h`.
  func catalogue() throws -> Bytes { try ask(.catalogue, longest: (1 << 20) + 16 * min(fileLength, 1 << 24)) }

  /// Elements `first ..< first + count` of a dataset, row-major, little-endian.
  ///
  /// - Parameter datasetBytes: of the whole dataset, all of which may have to be unpacked for it.
  func read(dataset: Int, first: Int, count: Int, byteCount: Int, datasetBytes: Int) throws -> Bytes {
    let bytes = try ask(
      .read, UInt32(clamping: dataset), UInt64(clamping: first), UInt64(clamping: count), longest: byteCount,
      work: datasetBytes)
    guard bytes.count == byteCount else {
      throw GristError(
        .badData, "the data have another length than they should", file: path, found: "\(bytes.count) bytes")
    }
    return bytes
  }

  /// - Parameters:
  ///   - longest: bytes of an answer at most.
  ///   - work: bytes that it takes to make it.
  private func ask(
    _ operation: Operation, _ index: UInt32 = 0, _ first: UInt64 = 0, _ count: UInt64 = 0, longest: Int, work: Int = 0
  ) throws -> Bytes {
    try isBroken.withLock { isBroken in
      guard !isBroken else {
        throw GristError(.badData, "reading the file had failed before", file: path)
      }
      // Half an answer would be taken for the next one.
      isBroken = true
      var request: [UInt8] = []
      for word in [operation.rawValue, index] { withUnsafeBytes(of: word.littleEndian) { request += $0 } }
      for word in [first, count] { withUnsafeBytes(of: word.littleEndian) { request += $0 } }
      let seconds = Self.patience + Double(max(work, fileLength)) / Self.leastRate
      let deadline = ContinuousClock.now + .seconds(seconds)
      try send(request, until: deadline)
      let head = try receive(16, until: deadline)
      guard let status = head.integer(at: 0, as: UInt32.self), let length = head.integer(at: 8, as: UInt64.self),
        length <= UInt64(status == 0 ? longest : Self.shortAnswer)
      else { throw GristError(.badData, "the program that reads HDF5 answers nonsense", file: path) }
      let answer = try receive(Int(length), until: deadline)
      isBroken = false
      if status != 0 { throw refusal(answer) }
      return answer
    }
  }

  /// The refusal that four texts, each ended by NUL, tell of: what, place, found, advice.
  private func refusal(_ bytes: Bytes) -> GristError {
    let texts = bytes.array.split(separator: 0, maxSplits: 4, omittingEmptySubsequences: false)
      .map { String(decoding: $0, as: UTF8.self) }
    func text(_ index: Int) -> String? { texts.indices.contains(index) && !texts[index].isEmpty ? texts[index] : nil }
    return GristError(
      .badData, text(0) ?? "the file cannot be read", file: path, tensor: text(1), found: text(2), advice: text(3))
  }

  // MARK: - Bytes

  /// Milliseconds that are left; 0 when none are.
  private func left(until deadline: ContinuousClock.Instant) -> Int32 {
    let left = deadline - .now
    return Int32(clamping: max(0, left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000))
  }

  private func send(_ bytes: [UInt8], until deadline: ContinuousClock.Instant) throws {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes { rest in
        rest.baseAddress.map { grist_system_send(connection, $0 + sent, rest.count - sent, left(until: deadline)) }
          ?? -1
      }
      if count < 0, errno == EINTR {
        try Interruption.check()
        continue
      }
      guard count > 0 else { throw failure(timedOut: count < 0 && errno == ETIMEDOUT) }
      sent += count
    }
  }

  private func receive(_ count: Int, until deadline: ContinuousClock.Instant) throws -> Bytes {
    let buffer = AlignedBuffer(byteCount: count)
    try buffer.withUnsafeMutableBytes { target in
      var received = 0
      while received < count, let base = target.baseAddress {
        let got = grist_system_receive(connection, base + received, count - received, left(until: deadline))
        if got < 0, errno == EINTR {
          try Interruption.check()
          continue
        }
        guard got > 0 else { throw failure(timedOut: got < 0 && errno == ETIMEDOUT) }
        received += got
      }
    }
    return buffer.bytes
  }

  /// Why the helper does not answer. It has ended, or is made to.
  private func failure(timedOut: Bool) -> GristError {
    if timedOut { kill(process, SIGKILL) }
    let signal = grist_system_helper_signal(process)
    let what =
      switch signal {
      case _ where timedOut: "libhdf5 did not come to an end with the file"
      case SIGPROF: "libhdf5 took more processor time than any sound file takes"
      case 0: "libhdf5 gave the file up"
      default: "libhdf5 failed on the file (\(String(cString: strsignal(signal))))"
      }
    return GristError(
      .badData, what, file: path,
      advice: "the file is damaged or hostile: nothing was written; fetch it again, or write it again with h5py")
  }
}
