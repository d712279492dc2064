internal import Crypto
import GristCore

/// The SHA-256 of some files, computed piece by piece while something else goes on.
public final class FileHasher {
  private var waiting: ArraySlice<String>
  private var current: (file: MappedFile, hash: SHA256, offset: Int)?
  private var hashes: [String] = []
  /// Bytes asked for and not hashed yet; negative when a step went beyond them.
  private var owed = 0
  /// Whole pages, so that each can be given back.
  private static let step = 4 << 20

  /// Files are opened as they are reached.
  public init(_ paths: [String]) { waiting = paths[...] }

  /// Hashes about `byteCount` bytes more.
  ///
  /// - Throws: 66 and 74 when a file cannot be read.
  public func advance(by byteCount: Int) throws {
    owed += byteCount
    while owed > 0, try openNext() { owed -= hashStep() }
  }

  /// Hashes what is left; the hashes of all files in their order, lower-case hexadecimal.
  ///
  /// - Throws: 66 and 74 when a file cannot be read, 130 when the user interrupts.
  public func finish() throws -> [String] {
    while try openNext() {
      try Interruption.check()
      _ = hashStep()
    }
    return hashes
  }

  /// Whether there is a file to go on with.
  private func openNext() throws -> Bool {
    if current != nil { return true }
    guard let path = waiting.popFirst() else { return false }
    current = (try MappedFile(path: path), SHA256(), 0)
    return true
  }

  /// Hashes one step more of the current file; how many bytes that were.
  private func hashStep() -> Int {
    guard case (let file, var hash, let offset)? = current else { return 0 }
    let count = min(Self.step, file.count - offset)
    file.bytes.slice(offset, count)?.withUnsafeBytes { hash.update(bufferPointer: $0) }
    file.advise(.dontNeed, offset: offset, count: count)
    current = (file, hash, offset + count)
    if offset + count == file.count {
      hashes.append(hexadecimalDigest(hash.finalize()))
      current = nil
    }
    return count
  }
}

/// Two digits a byte.
func hexadecimalDigest(_ digest: SHA256.Digest) -> String {
  digest.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
}
