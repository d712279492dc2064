import GristCore
internal import Synchronization

/// An open `.grist` file. Opening checks everything but the chunks' contents; those are checked the first time each is
/// used.
public final class GristFile: Sendable {
  public let path: String
  let file: MappedFile
  let index: FileIndex
  private let tensorsByName: [ByteName: TensorRecord]
  private let filesByName: [ByteName: FileRecord]
  /// Chunks whose checksum was found right.
  private let verified: Mutex<[Bool]>
  /// What else is asked of a chunk's stored bytes the first time that they are used.
  private let check: (@Sendable (_ chunk: Int, _ stored: Bytes) throws -> Void)?

  /// - Throws: 66 when the file is not there, 65 with offset and value found when it is damaged, cut short, or not of
  ///   this version.
  public init(path: String) throws {
    self.path = path
    file = try MappedFile(path: path)
    let file = file
    index = try locating(file: path) { try FileIndex(file.bytes) }
    tensorsByName = Dictionary(
      index.manifest.tensors.map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
    filesByName = Dictionary(
      index.manifest.files.map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
    verified = Mutex([Bool](repeating: false, count: index.chunks.count))
    check = nil
    try index.checkOwnership(path: path)
  }

  private init(_ other: GristFile, check: @escaping @Sendable (_ chunk: Int, _ stored: Bytes) throws -> Void) {
    (path, file, index) = (other.path, other.file, other.index)
    (tensorsByName, filesByName) = (other.tensorsByName, other.filesByName)
    verified = Mutex([Bool](repeating: false, count: other.index.chunks.count))
    self.check = check
  }

  /// The same file, of whose chunks more is asked than their checksums, the first time that each is used.
  package func asking(_ check: @escaping @Sendable (_ chunk: Int, _ stored: Bytes) throws -> Void) -> GristFile {
    GristFile(self, check: check)
  }

  public var manifest: Manifest { index.manifest }
  private var chunks: [ChunkEntry] { index.chunks }

  /// Bytes of the file up to the end of its index.
  public var byteCount: Int { index.end }
  /// Bytes of the index.
  package var indexByteCount: Int { index.end - index.offset }
  /// How often the file was written: 1, and 1 more for each addition.
  public var generation: UInt64 { index.slot.generation }
  /// Bytes of what later additions took the place of; a conversion leaves them out.
  public var freeBytes: Int { chunks.reduce(0) { $0 + ($1.isFree ? $1.storedLength : 0) } }
  /// Whether something was begun to be added and not finished. The file is as it was before.
  public var hasUnfinishedAddition: Bool { index.isFollowedByUnfinished }

  public func tensor(named name: String) -> TensorRecord? { tensorsByName[ByteName(name)] }

  /// The payload of one chunk: in place when it is stored raw, else unpacked into memory of its own. Safe to call from
  /// several threads.
  ///
  /// - Throws: 65 when its checksum is wrong, it does not unpack, or it is stored in a way of a later version.
  public func payload(ofChunk index: Int) throws -> Bytes {
    let chunk = chunks[index]
    let codec = try codec(ofChunk: index)
    let stored = try verifiedStored(index)
    do {
      return try unpack(stored, codec: codec, payloadLength: chunk.payloadLength)
    } catch let error as GristError {
      throw error.located(file: path, tensor: owner(ofChunk: index), offset: UInt64(chunk.offset))
    }
  }

  /// A chunk's stored bytes, whose checksum is computed the first time they are asked for.
  func verifiedStored(_ index: Int) throws -> Bytes {
    let chunk = chunks[index]
    guard let stored = file.bytes.slice(chunk.offset, chunk.storedLength) else {
      throw GristError(.badData, "a chunk ends beyond the file", file: path, offset: UInt64(chunk.offset))
    }
    if verified.withLock({ $0[index] }) { return stored }
    try requireChecksum(of: stored, chunk: index)
    try checkPadding(after: index)
    try check?(index, stored)
    verified.withLock { $0[index] = true }
    return stored
  }

  private func codec(ofChunk index: Int) throws -> ChunkCodec {
    let chunk = chunks[index]
    if let codec = chunk.codec { return codec }
    throw GristError(
      .badData, "chunk \(index) is stored in a way this version does not know", file: path,
      tensor: owner(ofChunk: index), offset: UInt64(chunk.offset), found: "codec \(chunk.codecNumber)",
      advice: "use a newer gristmill")
  }

  private func requireChecksum(of stored: Bytes, chunk index: Int) throws {
    let (found, chunk) = (checksum(stored), chunks[index])
    guard found == chunk.checksum else {
      throw GristError(
        .badData, "the checksum of chunk \(index) does not fit", file: path, tensor: owner(ofChunk: index),
        offset: UInt64(chunk.offset), found: "\(hexadecimal(found)) instead of \(hexadecimal(chunk.checksum))",
        advice: "the file is damaged: fetch it again")
    }
  }

  /// Where a chunk's stored bytes lie, and how many payload bytes they are.
  package func place(ofChunk index: Int) -> (stored: Range<Int>, payloadBytes: Int) {
    (chunks[index].offset..<chunks[index].end, chunks[index].payloadLength)
  }

  /// Which file this is.
  package var identity: FileIdentity { file.identity }

  /// Makes a chunk's payload of stored bytes that were read otherwise than by the mapping, every time with their
  /// checksum.
  ///
  /// - Parameters:
  ///   - index: the chunk's.
  ///   - stored: what was read at ``place(ofChunk:)``.
  ///   - target: as long as the payload, aligned to 64 bytes.
  ///
  /// - Throws: 65 as ``payload(ofChunk:)`` does.
  package func unpackChunk(_ index: Int, stored: Bytes, into target: UnsafeMutableRawBufferPointer) throws {
    let codec = try codec(ofChunk: index)
    try requireChecksum(of: stored, chunk: index)
    if let check, !verified.withLock({ $0[index] }) {
      try check(index, stored)
      verified.withLock { $0[index] = true }
    }
    do {
      try unpack(stored, codec: codec, into: target)
    } catch let error as GristError {
      throw error.located(file: path, tensor: owner(ofChunk: index), offset: UInt64(chunks[index].offset))
    }
  }

  /// The zeros between a chunk and the next, and before the first.
  private func checkPadding(after index: Int) throws {
    func check(_ start: Int, _ end: Int) throws {
      guard end > start, let padding = file.bytes.slice(start, end - start) else { return }
      guard padding.isAllZero else { throw paddingError(at: start).located(file: path) }
    }
    if index == 0 { try check(GristLayout.headerBytes, chunks[0].offset) }
    try check(chunks[index].end, index + 1 < chunks.count ? chunks[index + 1].offset : self.index.offset)
  }

  private func owner(ofChunk index: Int) -> String? {
    manifest.tensors.first { $0.runs.contains { $0.range.contains(index) } }?.name
      ?? manifest.files.first { $0.chunks.range.contains(index) }?.name
  }

  /// The tensor that each chunk belongs to, nil for a file's and for one that this version cannot judge.
  public var tensorOfEachChunk: [TensorRecord?] {
    var tensors = [TensorRecord?](repeating: nil, count: chunks.count)
    for tensor in manifest.tensors {
      for chunk in tensor.chunks.range { tensors[chunk] = tensor }
    }
    return tensors
  }

  /// Reads a chunk and finds out whether it is whole: its checksum, that it unpacks, and that its codes are such that
  /// all kernels agree on them. What is free or stored in a way of a later version is held to its checksum.
  ///
  /// - Parameters:
  ///   - index: the chunk's.
  ///   - tensor: what ``tensorOfEachChunk`` has at that index.
  ///
  /// - Throws: 65 where something is wrong.
  public func check(chunk index: Int, of tensor: TensorRecord?) throws {
    guard chunks[index].codec != nil else {
      _ = try verifiedStored(index)
      return
    }
    let payload = try payload(ofChunk: index)
    guard let record = tensor, case .grouped(let scheme) = record.scheme, scheme.codes == .int8,
      let (rows, columns) = matrixExtents(record.shape), let shape = scheme.shape(rows: rows, columns: columns)
    else { return }
    let codes = payload.count / shape.bytesPerTile * shape.codeBytesPerTile
    // Codes of 8 bits are -127 to 127: where instructions take them for magnitude and sign, -128 is none.
    let bad = payload.withUnsafeBytes { UnsafeRawBufferPointer(rebasing: $0.prefix(codes)).firstIndex(of: 0x80) }
    guard let bad else { return }
    throw GristError(
      .badData, "a code of -128 stands in chunk \(index), where -127 to 127 are allowed", file: path,
      tensor: record.name, offset: UInt64(chunks[index].offset), found: "byte \(bad) of the payload",
      advice: "convert the checkpoint again")
  }

  /// Whether a chunk is used in place.
  public func isRaw(chunk index: Int) -> Bool { chunks[index].codec == .raw }

  /// Bytes a run of chunks takes in the file.
  public func storedBytes(_ run: ChunkRun) -> Int { run.range.reduce(0) { $0 + chunks[$1].storedLength } }

  /// Bytes a run of chunks holds, unpacked.
  func payloadBytes(_ run: ChunkRun) -> Int { run.range.reduce(0) { $0 + chunks[$1].payloadLength } }

  public var chunkCount: Int { chunks.count }

  /// Finds out whether the file still is what it was. One that was added to is: nothing that was there is changed by it.
  ///
  /// - Throws: 74 when the file was changed or replaced since it was opened.
  public func requireUnchanged() throws {
    do {
      try file.requireUnchanged()
    } catch {
      guard file.isSameFile, let header = try? Superblock(file.bytes), header == index.superblock,
        let slot = try? IndexSlot.current(of: file.bytes).slot, slot.generation > generation,
        slot.fileLength >= UInt64(byteCount)
      else { throw error }
    }
  }

  /// A file that travels inside, nil when there is none of this name.
  ///
  /// - Throws: 65 when it is damaged.
  public func sideFile(named name: String) throws -> Bytes? {
    guard let record = filesByName[ByteName(name)] else { return nil }
    guard record.byteCount <= max(GristLayout.boundlessPayload, storedBytes(record.chunks) * GristLayout.greatestRatio)
    else {
      throw GristError(
        .badData, "a file inside claims to unpack to far more than it is", file: path,
        found: "\(name), \(storedBytes(record.chunks)) bytes stored, \(record.byteCount) unpacked")
    }
    let pieces = try record.chunks.range.map { try payload(ofChunk: $0) }
    if pieces.count == 1 { return pieces[0] }
    return Bytes(pieces.flatMap(\.array))
  }

  /// Starts reading a segment from the disk.
  public func prefetch(segment name: String) {
    guard let segment = manifest.segments.first(where: { $0.name == name }), segment.count > 0 else { return }
    let start = chunks[segment.first].offset
    let end = chunks[segment.first + segment.count - 1].end
    file.advise(.willNeed, offset: start, count: end - start)
  }

  /// Says that these chunks are read from end to end, again and again, where they lie.
  public func readWhole(_ run: ChunkRun) {
    guard let first = run.range.first, let last = run.range.last else { return }
    file.advise(.readWhole, offset: chunks[first].offset, count: chunks[last].end - chunks[first].offset)
  }

  /// Drops a chunk's pages from this process's memory; they are read again when they are used again.
  public func release(chunk index: Int) {
    file.advise(.dontNeed, offset: chunks[index].offset, count: chunks[index].storedLength)
  }
}
