internal import Glibc

/// A folder that appears under its name complete or not at all.
///
/// Files go to a hidden sibling of a random name; ``commit()`` gives it its name. Dropping the value without a commit
/// leaves nothing behind; what a killed program leaves, the next one for the same output removes.
package final class AtomicFolder {
  /// As it was named.
  package let path: String
  private let target: String
  private let temporaryPath: String
  private let lock: OutputLock
  private var isCommitted = false

  /// - Parameter path: the destination, which is not there yet or is an empty folder.
  ///
  /// - Throws: 64 when something is there, 74 when the folder it is to be in cannot be written or another program makes
  ///   the same output.
  package init(path: String) throws {
    self.path = path
    var target = path
    while target.count > 1, target.hasSuffix("/") { target.removeLast() }
    guard !target.isEmpty, target != "/", !["", ".", ".."].contains(fileName(of: target)) else {
      throw GristError(.usage, "the output has no name", file: path, advice: "name a folder that is not there yet")
    }
    self.target = target
    try Self.requireNothing(at: target, named: path)
    let folder = folderName(of: target)
    guard fileKind(at: folder) == .folder else {
      throw GristError(
        .inputOutput, "cannot create the output: there is no folder \(folder)", file: path,
        advice: "create it first, or name another")
    }
    lock = try OutputLock(of: target, named: path)
    let name = hiddenName(for: fileName(of: target))
    for leftover in (try? folderContents(folder)) ?? [] where isLeftover(leftover, of: name) {
      Self.remove(joinPath(folder, leftover))
    }
    temporaryPath = joinPath(folder, "\(name).\(String(UInt64.random(in: .min ... .max), radix: 16)).partial")
    guard temporaryPath.withSystemPath({ mkdir($0, 0o777) }) == 0 else {
      isCommitted = true
      throw GristError(.inputOutput, "cannot create the output: \(systemMessage())", file: path)
    }
  }

  private static func requireNothing(at target: String, named path: String) throws {
    var status = stat()
    guard target.withSystemPath({ lstat($0, &status) }) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFDIR, (try? folderContents(target))?.isEmpty == true else {
      throw GristError(
        .usage, "the output is there already", file: path,
        advice: "name a folder that is not there yet, or an empty one")
    }
  }

  deinit {
    if !isCommitted { Self.remove(temporaryPath) }
  }

  /// Removes a folder of ours and what is in it, following no link.
  private static func remove(_ path: String) {
    if isOwnFolder(path) {
      for name in (try? folderContents(path)) ?? [] { remove(joinPath(path, name)) }
    }
    removeIfPossible(path)
  }

  /// Begins a file in the folder, and the folders on the way to it.
  ///
  /// - Parameter name: its path from the folder.
  ///
  /// - Throws: 65 when the name leads out of the folder or is that of an earlier file, 74 when it cannot be created.
  package func file(named name: String) throws -> FolderFile {
    let parts = name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map { String($0) ?? "" }
    guard parts.allSatisfy({ !["", ".", ".."].contains($0) && $0.utf8.count <= 255 && !$0.utf8.contains(0) }) else {
      throw GristError(.badData, "a file's name that cannot be one in a folder", file: path, found: name.shortened())
    }
    var folder = temporaryPath
    for part in parts.dropLast() {
      folder = joinPath(folder, part)
      try createFolder(folder)
    }
    return try FolderFile(path: joinPath(folder, parts[parts.count - 1]), name: joinPath(path, name))
  }

  /// Where a file of the folder is until it is committed.
  package func temporaryPath(of name: String) -> String { joinPath(temporaryPath, name) }

  /// Gives the folder its name.
  ///
  /// - Throws: 74 when that fails, 64 when something came there meanwhile.
  package func commit() throws {
    try Self.requireNothing(at: target, named: path)
    synchronizeFolder(temporaryPath)
    guard temporaryPath.withSystemPath({ from in target.withSystemPath { rename(from, $0) } }) == 0 else {
      throw GristError(.inputOutput, "cannot name the output: \(systemMessage())", file: path)
    }
    isCommitted = true
    synchronizeFolder(folderName(of: target))
  }
}

/// A file that is written into an ``AtomicFolder``.
package final class FolderFile {
  /// As it will be called.
  package let name: String
  private var descriptor: Int32
  package private(set) var count = 0

  fileprivate init(path: String, name: String) throws {
    self.name = name
    descriptor = path.withSystemPath { open($0, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o666) }
    guard descriptor >= 0 else {
      throw GristError(
        errno == EEXIST ? .badData : .inputOutput,
        errno == EEXIST ? "two files of one name" : "cannot create the output: \(systemMessage())", file: name)
    }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// - Throws: 74 when writing fails.
  package func append(_ bytes: Bytes) throws {
    try bytes.withUnsafeBytes { try writeAll($0, to: descriptor, at: count, path: name) }
    count += bytes.count
  }

  /// Flushes the file to the disk.
  ///
  /// - Throws: 74 when that fails.
  package func finish() throws {
    try flush(descriptor, path: name)
    close(descriptor)
    descriptor = -1
  }
}
