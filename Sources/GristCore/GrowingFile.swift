internal import Glibc

/// A file that something is added to in place, behind what it holds. Nobody else can write it meanwhile.
///
/// What is written behind the old end counts only when something before it says so: ``commit(_:at:)``. Dropping the
/// value without a commit gives the file its old length back.
package final class GrowingFile {
  /// As it was named.
  package let path: String
  private let lock: OutputLock
  private let descriptor: Int32
  private let oldEnd: Int
  private var isCommitted = false
  /// Where the next byte goes.
  package private(set) var count: Int

  /// - Parameters:
  ///   - path: the file.
  ///   - state: the one in which it was read.
  ///   - end: of what it holds; what lies behind is an addition that somebody did not finish, and goes.
  ///
  /// - Throws: 74 when it cannot be written, was changed since it was read, or another program is writing it.
  package init(path: String, in state: FileIdentity, end: Int) throws {
    self.path = path
    let target = try AtomicFile.target(of: path)
    lock = try OutputLock(of: target, named: path)
    var status = stat()
    guard target.withSystemPath({ stat($0, &status) }) == 0, FileIdentity(status) == state else {
      throw changedMeanwhile(path)
    }
    guard status.st_mode & 0o222 != 0 else {
      throw GristError(
        .inputOutput, "the file is protected against writing", file: path, advice: "make it writable, or work on a copy"
      )
    }
    descriptor = target.withSystemPath { open($0, O_RDWR | O_CLOEXEC | O_NOFOLLOW) }
    guard descriptor >= 0 else {
      throw GristError(.inputOutput, "cannot write the file: \(systemMessage())", file: path)
    }
    (oldEnd, count) = (end, end)
    guard FileIdentity(descriptor: descriptor) == state else {
      isCommitted = true
      throw changedMeanwhile(path)
    }
  }

  deinit {
    // A file that grew is whole all the same; its old length is a courtesy.
    if !isCommitted, count > oldEnd { _ = ftruncate(descriptor, off_t(oldEnd)) }
    close(descriptor)
  }

  /// Cuts off what an addition that was not finished left behind the end.
  ///
  /// - Throws: 74 when that fails.
  package func begin() throws {
    guard ftruncate(descriptor, off_t(oldEnd)) == 0 else {
      throw GristError(.inputOutput, "cannot write the file: \(systemMessage())", file: path)
    }
  }

  /// - Throws: 74 when writing fails.
  package func append(_ bytes: Bytes) throws {
    // Set first: what a write that fails leaves is cut off, too.
    let offset = count
    count += bytes.count
    try bytes.withUnsafeBytes { try writeAll($0, to: descriptor, at: offset, path: path) }
  }

  /// Appends zeros up to the next multiple of `alignment`.
  ///
  /// - Throws: 74 when writing fails.
  package func pad(toMultipleOf alignment: Int) throws {
    let remainder = count % alignment
    if remainder != 0 { try append(Bytes([UInt8](repeating: 0, count: alignment - remainder))) }
  }

  /// Flushes what was added to the disk, and then the bytes that make it count.
  ///
  /// - Throws: 74 when that fails. Where it fails after the bytes were written, the file may have either state.
  package func commit(_ bytes: [UInt8], at offset: Int) throws {
    try flush(descriptor, path: path)
    try Interruption.check()
    // From here on its length must stay, whatever happens.
    isCommitted = true
    try bytes.withUnsafeBytes { try writeAll($0, to: descriptor, at: offset, path: path) }
    try flush(descriptor, path: path)
  }
}
