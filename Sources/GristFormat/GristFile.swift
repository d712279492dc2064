import GristCore
internal import Synchronization

/// An open `.grist` file. Opening checks everything but the chunks' contents; those are checked the first time each is
/// used.
public final class GristFile: Sendable {
  public let path: String
  public let manifest: Manifest
  public let byteCount: Int
  private let file: MappedFile
  private let chunks: [ChunkEntry]
  private let dataEnd: Int
  private let tensorsByName: [ByteName: TensorRecord]
  private let filesByName: [ByteName: FileRecord]
  /// Chunks whose checksum was found right.
  private let verified: Mutex<[Bool]>

  /// - Throws: 66 when the file is not there, 65 with offset and value found when it is damaged, cut short, or not of
  ///   this version.
  public init(path: String) throws {
    self.path = path
    file = try MappedFile(path: path)
    byteCount = file.count
    let file = file
    (manifest, chunks, dataEnd) = try locating(file: path) { try Self.parseIndex(file.bytes) }
    tensorsByName = Dictionary(
      manifest.tensors.map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
    filesByName = Dictionary(manifest.files.map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
    verified = Mutex([Bool](repeating: false, count: chunks.count))
    try checkOwnership()
  }

  private static func parseIndex(
    _ bytes: Bytes
  ) throws -> (manifest: Manifest, chunks: [ChunkEntry], dataEnd: Int) {
    let superblock = try Superblock(bytes)
    guard superblock.fileLength == UInt64(bytes.count) else {
      throw GristError(
        .badData, superblock.fileLength > UInt64(bytes.count) ? "the file is cut short" : "the file is too long",
        offset: 16, found: "\(bytes.count) bytes instead of \(superblock.fileLength)", advice: "fetch it again")
    }
    let tableLength = Int(superblock.chunkCount) * GristLayout.chunkEntryBytes
    guard let manifestOffset = Int(exactly: superblock.manifestOffset),
      let manifestLength = Int(exactly: superblock.manifestLength),
      let tableOffset = Int(exactly: superblock.chunkTableOffset),
      manifestLength <= GristLayout.manifestLimit, manifestOffset % GristLayout.chunkAlignment == 0,
      manifestOffset >= GristLayout.superblockFields, manifestOffset <= bytes.count,
      manifestLength <= bytes.count - manifestOffset,
      tableOffset == (manifestOffset + manifestLength).roundedUp(toMultipleOf: GristLayout.chunkAlignment),
      tableOffset <= bytes.count, tableLength == bytes.count - tableOffset,
      let index = bytes.slice(manifestOffset, bytes.count - manifestOffset),
      let text = bytes.slice(manifestOffset, manifestLength), let table = bytes.slice(tableOffset, tableLength),
      let padding = bytes.slice(manifestOffset + manifestLength, tableOffset - manifestOffset - manifestLength)
    else {
      throw GristError(
        .badData, "the header points outside the file", offset: 24,
        found: "manifest at \(superblock.manifestOffset), \(superblock.manifestLength) bytes")
    }
    guard checksum(index) == superblock.indexChecksum else {
      throw GristError(
        .badData, "the index's checksum does not fit", offset: superblock.manifestOffset,
        advice: "the file is damaged: fetch it again")
    }
    guard padding.isAllZero else {
      throw GristError(
        .badData, "padding that must be zero is not", offset: UInt64(manifestOffset + manifestLength),
        advice: "the file is damaged: fetch it again")
    }
    let manifest: Manifest
    do {
      manifest = try Manifest(JSONReader(JSONValue.parse(text), file: ""))
    } catch var error as GristError {
      error.file = nil
      error.offset = error.offset.map { $0 + UInt64(manifestOffset) } ?? UInt64(manifestOffset)
      throw error
    }
    try checkSegments(manifest.segments, chunkCount: Int(superblock.chunkCount))
    let chunks = try parseChunkTable(
      table, tableOffset: tableOffset, dataEnd: manifestOffset, segmentStarts: Set(manifest.segments.map(\.first)))
    return (manifest, chunks, manifestOffset)
  }

  private static func checkSegments(_ segments: [SegmentRecord], chunkCount: Int) throws {
    var next = 0
    for segment in segments {
      guard segment.first == next, segment.count > 0, segment.count <= chunkCount - next else {
        throw GristError(
          .badData, "segment \"\(segment.name)\" does not follow the one before it",
          found: "chunks \(segment.first) and \(segment.count) more of \(chunkCount)")
      }
      next += segment.count
    }
    guard next == chunkCount else {
      throw GristError(.badData, "chunks belong to no segment", found: "\(chunkCount - next) of \(chunkCount)")
    }
  }

  /// Every chunk belongs to exactly one tensor or file, and what they declare is what their chunks hold.
  private func checkOwnership() throws {
    var owned = [Bool](repeating: false, count: chunks.count)
    func claim(_ run: ChunkRun, units: Int, bytesPerUnit: Int, _ owner: String) throws {
      func failure(_ what: String, _ found: String) -> GristError {
        GristError(.badData, what, file: path, tensor: owner, offset: UInt64(dataEnd), found: found)
      }
      guard run.first <= chunks.count, run.count <= chunks.count - run.first else {
        throw failure("it names chunks that are not there", "\(run.first) and \(run.count) more of \(chunks.count)")
      }
      let expected = units == 0 ? 0 : (units - 1) / run.unitsPerChunk + 1
      guard run.count == expected else {
        throw failure("its chunks do not hold what its shape asks for", "\(run.count) chunks instead of \(expected)")
      }
      for index in run.range {
        guard !owned[index] else { throw failure("it shares a chunk with another", "chunk \(index)") }
        owned[index] = true
        let unitsHere = min(run.unitsPerChunk, units - (index - run.first) * run.unitsPerChunk)
        let (length, overflow) = unitsHere.multipliedReportingOverflow(by: bytesPerUnit)
        guard !overflow, chunks[index].payloadLength == length else {
          throw failure(
            "chunk \(index) does not hold what the shape asks for",
            "\(chunks[index].payloadLength) bytes instead of \(overflow ? Int.max : length)")
        }
      }
    }
    for tensor in manifest.tensors {
      guard let units = PayloadUnits(scheme: tensor.scheme, shape: tensor.shape) else {
        throw GristError(
          .badData, "its scheme cannot hold its shape", file: path, tensor: tensor.name,
          found: "\(tensor.scheme.name) \(tensor.shape)")
      }
      try claim(tensor.chunks, units: units.count, bytesPerUnit: units.bytesPerUnit, tensor.name)
    }
    for record in manifest.files {
      try claim(record.chunks, units: record.byteCount, bytesPerUnit: 1, record.name)
    }
    if let orphan = owned.firstIndex(of: false) {
      throw GristError(
        .badData, "a chunk belongs to nothing", file: path, offset: UInt64(chunks[orphan].offset),
        found: "chunk \(orphan)")
    }
    for (names, what) in [(manifest.tensors.map(\.name), "tensor"), (manifest.files.map(\.name), "file")]
    where Set(names.map(ByteName.init)).count != names.count {
      throw GristError(.badData, "two \(what)s have the same name", file: path, offset: UInt64(dataEnd))
    }
  }

  public func tensor(named name: String) -> TensorRecord? { tensorsByName[ByteName(name)] }

  /// The payload of one chunk: in place when it is stored raw, else unpacked into memory of its own. Safe to call from
  /// several threads.
  ///
  /// - Throws: 65 when its checksum is wrong or it does not unpack.
  public func payload(ofChunk index: Int) throws -> Bytes {
    let chunk = chunks[index]
    let stored = try verifiedStored(index)
    do {
      return try unpack(stored, codec: chunk.codec, payloadLength: chunk.payloadLength)
    } catch let error as GristError {
      throw error.located(file: path, tensor: owner(ofChunk: index), offset: UInt64(chunk.offset))
    }
  }

  /// A chunk's stored bytes, whose checksum is computed the first time they are asked for.
  private func verifiedStored(_ index: Int) throws -> Bytes {
    let chunk = chunks[index]
    guard let stored = file.bytes.slice(chunk.offset, chunk.storedLength) else {
      throw GristError(.badData, "a chunk ends beyond the file", file: path, offset: UInt64(chunk.offset))
    }
    if verified.withLock({ $0[index] }) { return stored }
    let found = checksum(stored)
    guard found == chunk.checksum else {
      throw GristError(
        .badData, "the checksum of chunk \(index) does not fit", file: path, tensor: owner(ofChunk: index),
        offset: UInt64(chunk.offset), found: "\(hexadecimal(found)) instead of \(hexadecimal(chunk.checksum))",
        advice: "the file is damaged: fetch it again")
    }
    try checkPadding(after: index)
    verified.withLock { $0[index] = true }
    return stored
  }

  /// A chunk as it is stored, to be copied into another file.
  func storedChunk(_ index: Int) throws -> PackedChunk {
    let chunk = chunks[index]
    return PackedChunk(
      codec: chunk.codec, payloadLength: chunk.payloadLength, stored: try verifiedStored(index))
  }

  /// The zeros between a chunk and the next, and before the first.
  private func checkPadding(after index: Int) throws {
    func check(_ start: Int, _ end: Int) throws {
      guard end > start, let padding = file.bytes.slice(start, end - start) else { return }
      guard padding.isAllZero else {
        throw GristError(
          .badData, "padding that must be zero is not", file: path, offset: UInt64(start),
          advice: "the file is damaged: fetch it again")
      }
    }
    if index == 0 { try check(GristLayout.superblockFields, chunks[0].offset) }
    try check(chunks[index].end, index + 1 < chunks.count ? chunks[index + 1].offset : dataEnd)
  }

  private func owner(ofChunk index: Int) -> String? {
    manifest.tensors.first { $0.chunks.range.contains(index) }?.name
      ?? manifest.files.first { $0.chunks.range.contains(index) }?.name
  }

  /// The tensor that each chunk belongs to, nil for a file's.
  public var tensorOfEachChunk: [TensorRecord?] {
    var tensors = [TensorRecord?](repeating: nil, count: chunks.count)
    for tensor in manifest.tensors {
      for chunk in tensor.chunks.range { tensors[chunk] = tensor }
    }
    return tensors
  }

  /// Reads a chunk and finds out whether it is whole: its checksum, that it unpacks, and that its codes are such that
  /// all kernels agree on them.
  ///
  /// - Parameters:
  ///   - index: the chunk's.
  ///   - tensor: what ``tensorOfEachChunk`` has at that index.
  ///
  /// - Throws: 65 where something is wrong.
  public func check(chunk index: Int, of tensor: TensorRecord?) throws {
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

  public var chunkCount: Int { chunks.count }

  /// Which file it was when it was opened, and in which state.
  var identity: FileIdentity { file.identity }

  /// - Throws: 74 when the file was changed or replaced since it was opened.
  public func requireUnchanged() throws { try file.requireUnchanged() }

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

  /// Drops a chunk's pages from this process's memory; they are read again when they are used again.
  public func release(chunk index: Int) {
    file.advise(.dontNeed, offset: chunks[index].offset, count: chunks[index].storedLength)
  }
}
