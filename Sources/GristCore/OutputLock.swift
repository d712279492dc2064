internal import CGristSystem
internal import Glibc

/// Keeps a second program away from an output while it is being made: an empty file `.NAME.lock` beside it that is
/// locked, and goes with the value. What a killed program leaves of it is taken over.
package final class OutputLock {
  private let path: String
  private var descriptor: Int32
  private var token: UnsafeMutableRawPointer?

  /// - Parameters:
  ///   - target: the output, links followed.
  ///   - output: the same as it was named, for messages.
  ///
  /// - Throws: 74 when another program has the lock, or the file cannot be made.
  package init(of target: String, named output: String) throws {
    path = joinPath(folderName(of: target), "\(hiddenName(for: fileName(of: target))).lock")
    while true {
      descriptor = path.withSystemPath { open($0, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600) }
      guard descriptor >= 0 else {
        throw GristError(.inputOutput, "cannot create the output: \(systemMessage())", file: output)
      }
      if flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
        close(descriptor)
        throw GristError(
          .inputOutput, "another program is writing this output", file: output,
          advice: "wait until it is done, or name another output")
      }
      // A file system without locks keeps nobody away. The one that had the lock may have removed it under our hands.
      if let ours = FileIdentity(descriptor: descriptor), let there = FileIdentity(at: path), ours.isSameFile(as: there)
      {
        break
      }
      close(descriptor)
    }
    token = path.withSystemPath { grist_system_register_temporary($0) }
  }

  deinit {
    _ = path.withSystemPath { unlink($0) }
    close(descriptor)
    grist_system_unregister_temporary(token)
  }
}
