import GristCore
import GristFormat

/// The SHA-256 of some files, computed piece by piece while something else goes on; and, in the same pass over their
/// bytes, the digits of the tensors that lie in them as they are, so that a file is known to hold what was read of it.
package final class FileHasher {
  /// A tensor's bytes in a file.
  private struct Stretch {
    let name: ByteName
    let range: Range<Int>
  }

  /// A file that is being hashed.
  private struct Current {
    let file: MappedFile
    let hash = StreamingSHA256()
    var offset = 0
    /// Those that are not yet behind, by their place.
    var stretches: ArraySlice<Stretch>
  }

  private var waiting: ArraySlice<Checkpoint.WeightFile>
  private var current: Current?
  /// Of the stretch that the current offset is in.
  private var fingerprint = StreamingFingerprint()
  private let stretches: [String: [Stretch]]
  private var hashes: [String] = []
  private var found: [ByteName: (digits: String, path: String)] = [:]
  /// Bytes asked for and not hashed yet; negative when a step went beyond them.
  private var owed = 0
  /// Whole pages, so that each can be given back.
  private static let step = 4 << 20

  /// Files are opened as they are reached.
  ///
  /// - Parameters:
  ///   - files: those to hash, in this order.
  ///   - tensors: those whose bytes lie in the files as they are, are identified too.
  package init(_ files: [Checkpoint.WeightFile], tensors: [SourceTensor] = []) {
    waiting = files[...]
    var stretches: [String: [Stretch]] = [:]
    for tensor in tensors where tensor.storage.isVerbatim && tensor.byteCount > 0 {
      guard let offset = tensor.offset.flatMap({ Int(exactly: $0) }) else { continue }
      stretches[tensor.file, default: []].append(
        Stretch(name: ByteName(tensor.name), range: offset..<offset + tensor.byteCount))
    }
    self.stretches = stretches.mapValues { all in
      var last = 0
      // Of two names for the same bytes one is enough.
      return all.sorted { $0.range.lowerBound < $1.range.lowerBound }.filter { stretch in
        guard stretch.range.lowerBound >= last else { return false }
        last = stretch.range.upperBound
        return true
      }
    }
  }

  /// Hashes about `byteCount` bytes more.
  ///
  /// - Throws: 66 and 74 when a file cannot be read, 74 when it is not the one that was opened before.
  package func advance(by byteCount: Int) throws {
    owed += byteCount
    while owed > 0, try openNext() { owed -= hashStep() }
  }

  /// Hashes what is left; the hashes of all files in their order, lower-case hexadecimal.
  ///
  /// - Parameter expected: the digits of tensors as they were read.
  ///
  /// - Throws: 66 and 74 when a file cannot be read, 74 when it does not hold what was read of it, 130 when the user
  ///   interrupts.
  package func finish(expecting expected: [ByteName: String] = [:]) throws -> [String] {
    while try openNext() {
      try Interruption.check()
      _ = hashStep()
    }
    for (name, (digits, path)) in found {
      guard let other = expected[name], other != digits else { continue }
      throw GristError.changed(file: path, tensor: name.text)
    }
    return hashes
  }

  /// Whether there is a file to go on with.
  private func openNext() throws -> Bool {
    if current != nil { return true }
    guard let next = waiting.popFirst() else { return false }
    let file = try MappedFile(path: next.path)
    guard next.identity == nil || next.identity == file.identity else { throw GristError.changed(file: next.path) }
    current = Current(file: file, stretches: (stretches[next.path] ?? [])[...])
    return true
  }

  /// Hashes one step more of the current file; how many bytes that were.
  private func hashStep() -> Int {
    guard var now = current else { return 0 }
    current = nil
    let count = min(Self.step, now.file.count - now.offset)
    let end = now.offset + count
    if let bytes = now.file.bytes.slice(now.offset, count) { now.hash.update(bytes) }
    while let stretch = now.stretches.first, stretch.range.lowerBound < end {
      let part = stretch.range.clamped(to: now.offset..<end)
      if let bytes = now.file.bytes.slice(part.lowerBound, part.count) { fingerprint.update(bytes) }
      guard stretch.range.upperBound <= end else { break }
      found[stretch.name] = (fingerprint.digits(), now.file.path)
      fingerprint = StreamingFingerprint()
      now.stretches.removeFirst()
    }
    now.file.advise(.dontNeed, offset: now.offset, count: count)
    now.offset = end
    if end == now.file.count {
      hashes.append(now.hash.digits())
    } else {
      current = now
    }
    return count
  }
}

extension GristError {
  /// The error for a source that somebody else writes to.
  static func changed(file: String, tensor: String? = nil) -> GristError {
    GristError(
      .inputOutput, "the file was changed or replaced while it was being read", file: file, tensor: tensor,
      advice: "let nothing write to it, and run the command again")
  }
}
