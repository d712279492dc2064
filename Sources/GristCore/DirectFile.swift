internal import Glibc
internal import Synchronization

/// A file that is read past the page cache, where the file system allows it: what is read once and not kept should not
/// push out what others keep, nor be charged to a container's memory twice.
///
/// Where direct reads are refused, pages are dropped from the cache behind every read.
package final class DirectFile: @unchecked Sendable {
  // Unchecked: a descriptor that is read at explicit offsets, and closed when nobody holds it.
  package let path: String
  private let descriptor: Int32
  /// Whether reads go past the page cache.
  package var isDirect: Bool { direct.load(ordering: .relaxed) }
  private let direct: Atomic<Bool>

  /// Reads begin and end on multiples of this, the logical block of any disk.
  package static let alignment = 4096

  /// - Parameter identity: which file it must be; nil for whatever is there.
  ///
  /// - Throws: 66 when the file is not there, 74 when it cannot be opened or is another one by now.
  package init(path: String, identity: FileIdentity? = nil) throws {
    self.path = path
    let flags = O_RDONLY | O_CLOEXEC
    // Swift's overlay does not import a flag that stands behind _GNU_SOURCE.
    var descriptor = path.withSystemPath { open($0, flags | Self.directFlag) }
    direct = Atomic(descriptor >= 0)
    if descriptor < 0 { descriptor = try openForReading(path) }
    self.descriptor = descriptor
    guard let identity else { return }
    guard let found = FileIdentity(descriptor: descriptor), found.isSameFile(as: identity) else {
      throw GristError(
        .inputOutput, "the file was replaced while it was being read", file: path,
        advice: "let nothing write to it, and run the command again")
    }
  }

  deinit { close(descriptor) }

  /// Where a file system opens a file for direct reads and then refuses them.
  private func stopReadingDirectly() -> Bool {
    guard fcntl(descriptor, F_SETFL, 0) == 0 else { return false }
    direct.store(false, ordering: .relaxed)
    return true
  }

  #if arch(arm64)
    private static let directFlag: Int32 = 0o200000
  #else
    private static let directFlag: Int32 = 0o40000
  #endif

  /// Bytes of memory that reading `count` bytes takes, wherever they begin.
  package static func room(for count: Int) -> Int { (count + 2 * alignment - 1) / alignment * alignment }

  /// Reads `count` bytes at `offset` into `memory`, which begins on a multiple of ``alignment`` and has ``room(for:)``
  /// them. Gives where in it they begin. Safe to call from several threads.
  ///
  /// - Precondition: The memory is as said, and the range is one of a file.
  /// - Throws: 74 when the disk fails, or the file ends before the range does.
  package func read(_ offset: Int, _ count: Int, into memory: UnsafeMutableRawBufferPointer) throws -> Int {
    let start = offset / Self.alignment * Self.alignment
    let skipped = offset - start
    guard let base = memory.baseAddress, count > 0 else { return 0 }
    let wanted = (skipped + count + Self.alignment - 1) / Self.alignment * Self.alignment
    precondition(wanted <= memory.count && offset >= 0)
    var done = 0
    while done < skipped + count {
      let wasDirect = isDirect
      let got = pread(descriptor, base + done, wanted - done, off_t(start + done))
      if got < 0, errno == EINTR { continue }
      if got < 0, errno == EINVAL, wasDirect, stopReadingDirectly() { continue }
      guard got > 0 else {
        throw GristError(
          .inputOutput,
          got == 0 ? "the file was cut short while it was being read" : "cannot read the file: \(systemMessage())",
          file: path, offset: UInt64(offset), found: "\(max(done - skipped, 0)) of \(count) bytes",
          advice: "check the disk, restore the file, and run the command again")
      }
      done += got
      // What is no whole block stands at the end of the file: nothing comes behind it.
      if isDirect, done % Self.alignment != 0, done < skipped + count {
        throw GristError(
          .inputOutput, "the file was cut short while it was being read", file: path, offset: UInt64(offset),
          found: "\(max(done - skipped, 0)) of \(count) bytes", advice: "restore the file, and run the command again")
      }
    }
    if !isDirect { posix_fadvise(descriptor, off_t(start), off_t(wanted), POSIX_FADV_DONTNEED) }
    return skipped
  }
}
