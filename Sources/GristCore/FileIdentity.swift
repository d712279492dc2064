internal import Glibc

/// Which file it is, whatever it is called, and the state that it was in: what tells that a file is another one, or was
/// written to since.
package struct FileIdentity: Sendable, Hashable {
  private let device: UInt
  private let inode: UInt
  package let byteCount: Int
  private let modified: [Int]
  private let changed: [Int]

  init(_ status: stat) {
    device = UInt(status.st_dev)
    inode = UInt(status.st_ino)
    byteCount = Int(status.st_size)
    modified = [status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
    changed = [status.st_ctim.tv_sec, status.st_ctim.tv_nsec]
  }

  /// Of what is at a path, links followed; nil when nothing is there.
  package init?(at path: String) {
    var status = stat()
    guard path.withSystemPath({ stat($0, &status) }) == 0 else { return nil }
    self.init(status)
  }

  /// Of an open file; nil when the system does not tell.
  package init?(descriptor: Int32) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return nil }
    self.init(status)
  }

  /// Whether both are the same file, in whatever state.
  package func isSameFile(as other: FileIdentity) -> Bool { device == other.device && inode == other.inode }

  /// What tells the file apart, whatever state it is in.
  var place: [UInt] { [device, inode] }
}
