internal import CGristSystem
internal import Glibc

/// A file that appears under its name complete or not at all.
///
/// Bytes go to an unnamed file in the destination's folder (or, where the file system has none, to a hidden sibling of
/// a random name that signals and errors remove). ``commit()`` flushes it to the disk and renames it over the
/// destination. Dropping the value without a commit leaves nothing behind, and what was at the destination stays.
///
/// Make it before the work whose outcome it takes: all that can be known of the destination is found out then, and
/// nobody else can write the same output meanwhile. A destination that is a link stays one: what it names is written.
/// What is replaced leaves its permissions to what replaces it.
public final class AtomicFile {
  /// As it was named.
  public let path: String
  /// The same with links followed.
  private let target: String
  private var lock: OutputLock?
  /// The state in which the file to be replaced was read; nil where it was not.
  private let replaced: FileIdentity?
  private var descriptor: Int32
  private let temporaryPath: String
  private var temporaryToken: UnsafeMutableRawPointer?
  private var isNamed: Bool
  /// Bytes appended so far.
  public private(set) var count: Int = 0

  /// - Parameters:
  ///   - path: the destination.
  ///   - kind: what it holds; a file of another kind that is there is not replaced. Nil replaces any.
  ///   - forces: replaces a file of another kind, or one that is protected against writing, all the same.
  ///
  /// - Throws: 74 when the destination's folder cannot be written, the file there is protected or another program is
  ///   writing it; 64 when the destination is a folder, a device or a pipe, has no name, is a file that the program
  ///   reads, or one of another kind.
  public convenience init(path: String, kind: OutputKind? = nil, forces: Bool = false) throws {
    try self.init(path: path, kind: kind, forces: forces, replacing: nil)
  }

  /// - Parameter replaced: of a file that was read to be replaced, the state it was read in.
  package init(path: String, kind: OutputKind? = nil, forces: Bool = false, replacing replaced: FileIdentity?) throws {
    self.path = path
    self.replaced = replaced
    target = try Self.target(of: path)
    let mode = try Self.check(target, named: path, kind: kind, forces: forces, replaced: replaced)
    let folder = folderName(of: target)
    let name = hiddenName(for: fileName(of: target))
    lock = try OutputLock(of: target, named: path)
    // Whoever has the lock is the only one to write such files.
    removeLeftovers(of: name, in: folder)
    let random = String(UInt64.random(in: .min ... .max), radix: 16)
    temporaryPath = joinPath(folder, "\(name).\(random).partial")
    descriptor = folder.withSystemPath { grist_system_open_unnamed($0) }
    isNamed = false
    if descriptor < 0 {
      temporaryToken = temporaryPath.withSystemPath { grist_system_register_temporary($0) }
      descriptor = temporaryPath.withSystemPath { open($0, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o666) }
      isNamed = descriptor >= 0
    }
    guard descriptor >= 0 else {
      let message = systemMessage()
      grist_system_unregister_temporary(temporaryToken)
      throw GristError(.inputOutput, "cannot create the output: \(message)", file: path)
    }
    if let mode { fchmod(descriptor, mode) }
  }

  /// Where a path leads, links followed; the last may lead to nothing yet.
  static func target(of path: String) throws -> String {
    guard !path.isEmpty, !path.hasSuffix("/") else {
      throw GristError(
        .usage, path.isEmpty ? "the output has no name" : "the output is a folder", file: path, advice: "name a file")
    }
    var target = path
    for _ in 0..<40 {
      // /dev/stdout leads to a file that somebody else has open; it cannot be replaced by another.
      // /dev/shm is a folder like others, in memory.
      guard !target.hasPrefix("/dev/") || target.hasPrefix("/dev/shm/"), !target.hasPrefix("/proc/") else {
        throw GristError(.usage, "the output is not a plain file", file: path, advice: "name another")
      }
      guard let link = linkTarget(of: target) else { return target }
      target = link.hasPrefix("/") ? link : joinPath(folderName(of: target), link)
    }
    throw GristError(.inputOutput, "cannot create the output: \(String(cString: strerror(ELOOP)))", file: path)
  }

  /// Finds out whether the destination may be written; the permissions of the file that is there, nil when none is.
  private static func check(
    _ target: String, named path: String, kind: OutputKind?, forces: Bool, replaced: FileIdentity?
  ) throws -> mode_t? {
    guard fileName(of: target).utf8.count <= 255 else {
      throw GristError(.inputOutput, "cannot create the output: \(String(cString: strerror(ENAMETOOLONG)))", file: path)
    }
    var status = stat()
    guard target.withSystemPath({ stat($0, &status) }) == 0 else {
      guard fileKind(at: folderName(of: target)) == .folder else {
        throw GristError(
          .inputOutput, "cannot create the output: there is no folder \(folderName(of: target))", file: path,
          advice: "create it first, or name another")
      }
      return nil
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR: throw GristError(.usage, "the output is a folder", file: path, advice: "name a file")
    default: throw GristError(.usage, "the output is not a plain file", file: path, advice: "name another")
    }
    let there = FileIdentity(status)
    if replaced == nil { try refuseInput(there, path) }
    let mode = status.st_mode & 0o7777
    guard !forces else { return mode }
    guard mode & 0o222 != 0 else {
      throw GristError(
        .inputOutput, "the output is there and protected against writing", file: path,
        advice: "name another, or pass --force")
    }
    guard let kind, there.byteCount > 0, replaced == nil else { return mode }
    let file = try MappedFile(path: target, isInput: false)
    guard let beginning = file.bytes.slice(0, min(file.count, OutputKind.prefixLength)), kind.matches(beginning) else {
      throw GristError(
        .usage, "the output is there already and is not \(kind.name)", file: path,
        advice: "name another, or pass --force to replace it")
    }
    return mode
  }

  private static func refuseInput(_ there: FileIdentity, _ path: String) throws {
    guard !InputFiles.contains(there) else {
      throw GristError(
        .usage, "the output is a file that this command reads", file: path, advice: "name another output")
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
      _ = temporaryPath.withSystemPath { unlink($0) }
      isNamed = false
    }
    grist_system_unregister_temporary(temporaryToken)
    temporaryToken = nil
    lock = nil
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
    try writeAll(bytes, to: descriptor, at: offset, path: path)
  }

  /// Flushes the file to the disk and gives it its name, replacing what was there.
  ///
  /// - Throws: 74 when the file cannot be made durable or get its name.
  public func commit() throws {
    try flush(descriptor, path: path)
    // What came there while the output was made.
    if let there = FileIdentity(at: target) {
      if let replaced {
        guard there == replaced else { throw changed() }
      } else {
        try Self.refuseInput(there, path)
      }
    } else if replaced != nil {
      throw changed()
    }
    if !isNamed {
      temporaryToken = temporaryPath.withSystemPath { grist_system_register_temporary($0) }
      guard temporaryPath.withSystemPath({ grist_system_link_unnamed(descriptor, $0) }) == 0 else {
        throw GristError(.inputOutput, "cannot name the output: \(systemMessage())", file: path)
      }
      isNamed = true
    }
    guard temporaryPath.withSystemPath({ from in target.withSystemPath { rename(from, $0) } }) == 0 else {
      throw GristError(.inputOutput, "cannot name the output: \(systemMessage())", file: path)
    }
    isNamed = false
    synchronizeFolder(folderName(of: target))
    discard()
  }

  private func changed() -> GristError { changedMeanwhile(path) }
}

/// What is told of an output that is not what it was when the work began.
func changedMeanwhile(_ path: String) -> GristError {
  GristError(
    .inputOutput, "the file was changed or replaced by another program while this one worked on it", file: path,
    advice: "nothing was written: run the command again")
}

/// - Throws: 74 when writing fails.
func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, at offset: Int, path: String) throws {
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

/// - Throws: 74 when the disk does not take what was written.
func flush(_ descriptor: Int32, path: String) throws {
  var flushed = fsync(descriptor)
  while flushed != 0, errno == EINTR { flushed = fsync(descriptor) }
  guard flushed == 0 else {
    throw GristError(.inputOutput, "cannot flush the output to the disk: \(systemMessage())", file: path)
  }
}

extension AtomicFile {
  /// The output of which a file of this name beside it is the lock, or an unfinished copy; nil for any other file.
  public static func nameOfOutput(leaving name: String) -> String? {
    guard name.hasPrefix(".") else { return nil }
    if name.hasSuffix(".lock") { return String(name.dropFirst().dropLast(".lock".count)) }
    guard name.hasSuffix(".partial") else { return nil }
    let stem = name.dropFirst().dropLast(".partial".count)
    guard let dot = stem.lastIndex(of: "."), stem[dot...].dropFirst().utf8.allSatisfy(isLowerHexadecimal) else {
      return nil
    }
    return String(stem[..<dot])
  }
}

private func isLowerHexadecimal(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte) }

/// How everything that is put beside a file for a while is called: hidden, and never too long.
func hiddenName(for name: String) -> String {
  let longest = 180
  guard name.utf8.count > longest else { return "." + name }
  // Two long names must not become one.
  let digest = name.utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  return ".\(String(decoding: name.utf8.prefix(longest), as: UTF8.self))-\(String(digest, radix: 16))"
}

/// Removes what killed programs left of an output.
private func removeLeftovers(of hiddenName: String, in folder: String) {
  for name in (try? folderContents(folder)) ?? [] where isLeftover(name, of: hiddenName) {
    removeIfPossible(joinPath(folder, name))
  }
}

/// Whether a name is that of an unfinished copy of an output.
func isLeftover(_ name: String, of hiddenName: String) -> Bool {
  guard name.hasPrefix(hiddenName + "."), name.hasSuffix(".partial") else { return false }
  return name.utf8.dropFirst(hiddenName.utf8.count + 1).dropLast(".partial".utf8.count).allSatisfy(isLowerHexadecimal)
}

/// Has the names in a folder written to the disk, as far as the file system does that.
func synchronizeFolder(_ path: String) {
  let folder = path.withSystemPath { open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
  guard folder >= 0 else { return }
  fsync(folder)
  close(folder)
}

/// Writes a whole file so that it appears complete or not at all.
///
/// - Throws: What ``AtomicFile`` throws.
public func writeFile(_ path: String, _ bytes: Bytes) throws { try AtomicFile(path: path).finish(with: bytes) }

extension AtomicFile {
  /// Makes `bytes` the whole file, and gives it its name.
  ///
  /// - Throws: What ``append(_:)`` and ``commit()`` throw.
  public func finish(with bytes: Bytes) throws {
    try bytes.withUnsafeBytes { try append($0) }
    try commit()
  }
}
