internal import Glibc
internal import SystemPackage

/// What is at a path, following links.
package enum FileKind: Sendable { case file, folder, other }

/// What is at `path`, or nil when nothing is there.
package func fileKind(at path: String) -> FileKind? {
  var status = stat()
  guard path.withSystemPath({ stat($0, &status) }) == 0 else { return nil }
  switch status.st_mode & S_IFMT {
  case S_IFREG: return .file
  case S_IFDIR: return .folder
  default: return .other
  }
}

/// The names in a folder, sorted, without "." and "..".
///
/// - Throws: 66 when it is not there, 74 when it cannot be read.
package func folderContents(_ path: String) throws -> [String] {
  guard let directory = path.withSystemPath({ opendir($0) }) else {
    if errno == ENOENT || errno == ENOTDIR { throw GristError(.missingInput, "no such folder", file: path) }
    throw GristError(.inputOutput, "cannot list the folder: \(systemMessage())", file: path)
  }
  defer { closedir(directory) }
  var names: [String] = []
  while let entry = readdir(directory) {
    let name = withUnsafePointer(to: entry.pointee.d_name) { tuple in
      tuple.withMemoryRebound(to: UInt8.self, capacity: MemoryLayout.size(ofValue: tuple.pointee)) {
        let most = MemoryLayout.size(ofValue: tuple.pointee)
        return String(systemPath: UnsafeBufferPointer(start: $0, count: most).prefix { $0 != 0 })
      }
    }
    if name != "." && name != ".." { names.append(name) }
  }
  return names.sorted()
}

/// Reads a whole file of at most `limit` bytes; a larger one is an error, so that a wrong path cannot fill the memory.
///
/// - Throws: 66 when it is not there, 65 when it is longer than `limit` or no plain file, 74 when reading fails.
package func readFile(_ path: String, limit: Int = 1 << 30) throws -> Bytes {
  let file = try MappedFile(path: path)
  guard file.count <= limit else {
    throw GristError(
      .badData, "the file is larger than the \(limit) bytes allowed here", file: path, found: "\(file.count) bytes")
  }
  return Bytes(file.bytes.array)
}

/// `folder/name`, without doubling the separator.
package func joinPath(_ folder: String, _ name: String) -> String { FilePath(folder).appending(name).string }

/// The folder part of a path, "." when it has none.
package func folderName(of path: String) -> String {
  let folder = FilePath(path).removingLastComponent()
  return folder.isEmpty ? "." : folder.string
}

/// The last component of a path; of one that has none, the path.
package func fileName(of path: String) -> String { FilePath(path).lastComponent?.string ?? path }

/// The path that leads to the same place from the root, through no link; nil where nothing is there.
package func resolvedPath(_ path: String) -> String? {
  guard let resolved = path.withSystemPath({ realpath($0, nil) }) else { return nil }
  defer { free(resolved) }
  return String(systemPath: UnsafeBufferPointer(start: resolved, count: strlen(resolved)).map(UInt8.init(bitPattern:)))
}

/// What a link says, as it is written; nil for anything but a link.
package func linkTarget(of path: String) -> String? {
  var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
  let length = buffer.withUnsafeMutableBytes { bytes in
    bytes.baseAddress.map { target in path.withSystemPath { readlink($0, target, bytes.count) } } ?? -1
  }
  return length > 0 ? String(systemPath: buffer.prefix(length)) : nil
}

/// Creates a folder whose parent is there; one that exists already is as good.
///
/// - Throws: 74 when the system refuses.
package func createFolder(_ path: String) throws {
  guard path.withSystemPath({ mkdir($0, 0o777) }) == 0 || errno == EEXIST && fileKind(at: path) == .folder else {
    throw GristError(.inputOutput, "cannot create the folder: \(systemMessage())", file: path)
  }
}

/// Whether a folder, not a link to one, is there and belongs to whoever runs the program.
package func isOwnFolder(_ path: String) -> Bool {
  var status = stat()
  return path.withSystemPath({ lstat($0, &status) }) == 0 && status.st_mode & S_IFMT == S_IFDIR
    && status.st_uid == geteuid()
}

/// Removes a file, or a folder with nothing in it; what is not there or cannot go stays.
package func removeIfPossible(_ path: String) { _ = path.withSystemPath { remove($0) } }

/// The text of a file of the kernel's own, which has no length; nil where it is not there. At most 1 MiB.
func kernelText(_ path: String) -> String? {
  let descriptor = path.withSystemPath { open($0, O_RDONLY | O_CLOEXEC) }
  guard descriptor >= 0 else { return nil }
  defer { close(descriptor) }
  var text: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 16384)
  while text.count < 1 << 20 {
    let count = read(descriptor, &buffer, buffer.count)
    if count < 0, errno == EINTR { continue }
    guard count > 0 else { break }
    text += buffer.prefix(count)
  }
  return String(decoding: text, as: UTF8.self)
}
