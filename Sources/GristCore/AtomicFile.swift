internal import CGristSystem
internal import Glibc

/// A file that appears under its name complete or not at all.
///
/// Bytes go to an unnamed file in the destination's folder (or, where the file system has none, to a hidden sibling
/// that signals and errors remove). ``commit()`` flushes it to the disk and renames it over the destination. Dropping
/// the value without a commit leaves nothing behind, and what was at the destination stays.
public final class AtomicFile {
  public let path: String
  private var descriptor: Int32
  private let temporaryPath: String
  private var temporaryToken: Int32 = -1
  private var isNamed: Bool
  /// Bytes appended so far.
  public private(set) var count: Int = 0

  /// - Throws: 74 when the destination's folder cannot be written, 64 when the destination is a folder, a device or a
  ///   pipe, or has no name.
  public init(path: String) throws {
    self.path = path
    let folder = folderName(of: path)
    // The longest name is 255 bytes: what is put around it must not make it longer.
    let name = fileName(of: path)
    temporaryPath = joinPath(
      folder, ".\(String(decoding: name.utf8.prefix(200), as: UTF8.self)).\(getpid()).partial")
    switch fileKind(at: path) {
    case .folder: throw GristError(.usage, "the output is a folder", file: path, advice: "name a file")
    case .other: throw GristError(.usage, "the output is not a plain file", file: path, advice: "name another")
    case .file, nil: break
    }
    guard !name.isEmpty else { throw GristError(.usage, "the output has no name", file: path, advice: "name a file") }
    guard name.utf8.count <= 255 else {
      throw GristError(.inputOutput, "cannot create the output: \(String(cString: strerror(ENAMETOOLONG)))", file: path)
    }
    descriptor = grist_system_open_unnamed(folder)
    isNamed = false
    if descriptor < 0 {
      temporaryToken = grist_system_register_temporary(temporaryPath)
      descriptor = open(temporaryPath, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      isNamed = descriptor >= 0
    }
    guard descriptor >= 0 else {
      let message = systemMessage()
      grist_system_unregister_temporary(temporaryToken)
      throw GristError(.inputOutput, "cannot create the output: \(message)", file: path)
    }
  }

  deinit { discard() }

  /// Removes what was written. Harmless after ``commit()``.
  public func discard() {
    if descriptor >= 0 {
      close(descriptor)
      descriptor = -1
    }
    if isNamed {
      unlink(temporaryPath)
      isNamed = false
    }
    grist_system_unregister_temporary(temporaryToken)
    temporaryToken = -1
  }

  /// - Throws: 74 when writing fails.
  public func append(_ bytes: UnsafeRawBufferPointer) throws {
    try write(bytes, at: count)
    count += bytes.count
  }

  /// Appends zeros up to the next multiple of `alignment`.
  ///
  /// - Throws: 74 when writing fails.
  public func pad(toMultipleOf alignment: Int) throws {
    let remainder = count % alignment
    guard remainder != 0 else { return }
    let zeros = [UInt8](repeating: 0, count: alignment - remainder)
    try zeros.withUnsafeBytes { try append($0) }
  }

  /// Overwrites bytes that were appended before.
  ///
  /// - Precondition: The bytes at `offset` were written already.
  /// - Throws: 74 when writing fails.
  public func overwrite(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    precondition(offset >= 0 && offset + bytes.count <= count, "only bytes already written can be overwritten")
    try write(bytes, at: offset)
  }

  private func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    var done = 0
    while done < bytes.count {
      guard let base = bytes.baseAddress else { return }
      let n = pwrite(descriptor, base + done, bytes.count - done, off_t(offset + done))
      if n < 0 && errno == EINTR { continue }
      guard n > 0 else {
        throw GristError(
          .inputOutput, "cannot write the output: \(systemMessage())", file: path, offset: UInt64(offset + done))
      }
      done += n
    }
  }

  /// Flushes the file to the disk and gives it its name, replacing what was there.
  ///
  /// - Throws: 74 when the file cannot be made durable or get its name.
  public func commit() throws {
    var flushed = fsync(descriptor)
    while flushed != 0, errno == EINTR { flushed = fsync(descriptor) }
    guard flushed == 0 else {
      throw GristError(.inputOutput, "cannot flush the output to the disk: \(systemMessage())", file: path)
    }
    if !isNamed {
      temporaryToken = grist_system_register_temporary(temporaryPath)
      unlink(temporaryPath)
      guard grist_system_link_unnamed(descriptor, temporaryPath) == 0 else {
        throw GristError(.inputOutput, "cannot name the output: \(systemMessage())", file: path)
      }
      isNamed = true
    }
    guard rename(temporaryPath, path) == 0 else {
      throw GristError(.inputOutput, "cannot name the output: \(systemMessage())", file: path)
    }
    isNamed = false
    let folder = open(folderName(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if folder >= 0 {
      fsync(folder)
      close(folder)
    }
    discard()
  }
}

/// Writes a whole file so that it appears complete or not at all.
///
/// - Throws: 74 when writing fails, 64 when the path is a folder.
public func writeFile(_ path: String, _ bytes: Bytes) throws {
  let file = try AtomicFile(path: path)
  try bytes.withUnsafeBytes { try file.append($0) }
  try file.commit()
}
