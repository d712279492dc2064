internal import CGristSystem
internal import Glibc

/// A file mapped read-only into memory.
///
/// When somebody shrinks the file while it is mapped, touching the lost part is a bus error, which ends the program:
/// with a sentence and exit code 74 where ``Interruption/watch()`` was called.
package final class MappedFile: @unchecked Sendable {
  // Unchecked: immutable after init; the mapping is read-only.
  package let path: String
  package let count: Int
  private let base: UnsafeMutableRawPointer?
  private let guardToken: UnsafeMutableRawPointer?
  /// Which file it was when it was opened, and in which state.
  package let identity: FileIdentity

  /// Maps the whole file.
  ///
  /// - Throws: 66 when it is not there, 74 when it cannot be read, 65 when it is no plain file, 71 when the system
  ///   refuses the memory.
  package convenience init(path: String) throws { try self.init(path: path, isInput: true) }

  /// - Parameter isInput: whether what the file says matters to the program, and so must not be replaced by it.
  package init(path: String, isInput: Bool) throws {
    self.path = path
    let descriptor = try openForReading(path, isInput: isInput)
    defer { close(descriptor) }
    let length = try plainFileLength(descriptor, path: path)
    count = length
    guard let identity = FileIdentity(descriptor: descriptor) else {
      throw GristError(.inputOutput, "cannot read the file's state: \(systemMessage())", file: path)
    }
    self.identity = identity
    guard length > 0 else {
      base = nil
      guardToken = nil
      return
    }
    guard let address = mmap(nil, length, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
      throw GristError(
        errno == ENOMEM ? .outOfMemory : .inputOutput, "cannot map the file: \(systemMessage())", file: path,
        found: "\(length) bytes")
    }
    base = address
    guardToken = path.withSystemPath { grist_system_register_mapping(address, length, $0) }
  }

  deinit {
    guard let base else { return }
    grist_system_unregister_mapping(guardToken)
    munmap(base, count)
  }

  /// Whether the file under this name still is the one that is mapped, in whatever state.
  package var isSameFile: Bool { FileIdentity(at: path)?.isSameFile(as: identity) ?? false }

  /// - Throws: 74 when the file under this name is another one by now, or was written to since it was opened.
  package func requireUnchanged() throws {
    guard FileIdentity(at: path) == identity else {
      throw GristError(
        .inputOutput, "the file was changed or replaced while it was being read", file: path,
        advice: "let nothing write to it, and run the command again")
    }
  }

  package var bytes: Bytes { Bytes(base: base.map { UnsafeRawPointer($0) }, count: count, owner: self) }

  /// How the pages of a range will be used next.
  package enum Advice: Sendable {
    /// Start reading the range from disk.
    case willNeed
    /// Drop the range from this process's memory; touching it again reads it anew.
    case dontNeed
    /// The range is read from end to end, again and again: what comes from the disk is to come in large pages, 2 MB on
    /// x86-64. They are read ahead of and found faster. Linux has them for ext4 since 6.16, for XFS since 5.18; it goes by
    /// this only for what it does not hold yet.
    case readWhole
  }

  private static let largePage = 2 << 20

  /// Tells the kernel about a byte range. A hint: failures are ignored. For `.dontNeed` only whole pages inside the
  /// range are dropped; for `.readWhole` the large pages count that the range touches.
  package func advise(_ advice: Advice, offset: Int, count: Int) {
    guard let base, offset >= 0, count > 0, offset <= self.count, count <= self.count - offset else { return }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let end = offset + count
    switch advice {
    case .willNeed:
      let start = offset / page * page
      madvise(base + start, end - start, MADV_WILLNEED)
    case .dontNeed:
      let start = (offset + page - 1) / page * page
      let stop = end == self.count ? end : end / page * page
      if stop > start { madvise(base + start, stop - start, MADV_DONTNEED) }
    case .readWhole:
      let start = offset / Self.largePage * Self.largePage
      let stop = min(self.count, (end + Self.largePage - 1) / Self.largePage * Self.largePage)
      madvise(base + start, stop - start, MADV_HUGEPAGE)
    }
  }
}

/// A descriptor of the file, to be closed.
///
/// - Throws: 66 when it is not there, 74 when it cannot be opened, 130 when the user interrupts the wait for it.
package func openForReading(_ path: String) throws -> Int32 { try openForReading(path, isInput: true) }

func openForReading(_ path: String, isInput: Bool) throws -> Int32 {
  // Without O_NONBLOCK opening a pipe waits for its writer; what is no plain file is refused right after.
  var descriptor: Int32
  repeat {
    descriptor = path.withSystemPath { open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
    if descriptor < 0, errno == EINTR { try Interruption.check() }
  } while descriptor < 0 && errno == EINTR
  if descriptor >= 0 {
    if isInput, let identity = FileIdentity(descriptor: descriptor) { InputFiles.note(identity) }
    return descriptor
  }
  if errno == ENOENT || errno == ENOTDIR {
    throw GristError(.missingInput, "no such file", file: path)
  }
  throw GristError(.inputOutput, "cannot open the file: \(systemMessage())", file: path)
}

/// The length of an open file in bytes.
///
/// - Throws: 65 when it is no plain file.
package func plainFileLength(_ descriptor: Int32, path: String) throws -> Int {
  var status = stat()
  guard fstat(descriptor, &status) == 0 else {
    throw GristError(.inputOutput, "cannot read the file's length: \(systemMessage())", file: path)
  }
  guard status.st_mode & S_IFMT == S_IFREG else {
    throw GristError(.badData, "not a plain file", file: path)
  }
  return Int(status.st_size)
}

/// The system's message for the current `errno`.
package func systemMessage() -> String { String(cString: strerror(errno)) }
