import GristCore

/// Writes a `.grist` file from front to back: segments of chunks, then the index, and last of all the header that makes
/// it one. The file appears under its name only after ``finish()``; until then nothing is there to find.
package final class GristWriter {
  private let output: AtomicFile
  private var manifest: Manifest
  private var chunks: [ChunkEntry] = []
  private var names: Set<ByteName> = []
  private var fileNames: Set<ByteName> = []
  private var startsSegment = false
  private var firstChunkOfTensor = 0

  /// - Throws: What `AtomicFile` throws of its destination.
  package convenience init(path: String, provenance: Provenance) throws {
    try self.init(AtomicFile(path: path, kind: .grist), provenance: provenance)
  }

  /// - Parameters:
  ///   - output: empty.
  ///   - provenance: what the file came from, as far as it is known.
  ///
  /// - Throws: 74 when it cannot be written.
  package init(_ output: AtomicFile, provenance: Provenance) throws {
    self.output = output
    manifest = Manifest(provenance: provenance)
    try write([UInt8](repeating: 0, count: GristLayout.headerBytes))
  }

  /// Where it is written.
  package var path: String { output.path }

  /// Bytes written so far.
  package var byteCount: Int { output.count }

  /// The provenance can be completed until the file is finished: hashes are known only after the last tensor was read.
  package var provenance: Provenance {
    get { manifest.provenance }
    set { manifest.provenance = newValue }
  }

  /// Everything written from here on belongs to a new segment.
  package func beginSegment(_ name: String) {
    manifest.segments.append(SegmentRecord(name: name, first: chunks.count, count: 0))
    startsSegment = true
  }

  /// Starts a tensor; its chunks follow by ``append(_:)``, ``endTensor(_:unitsPerChunk:)`` closes it.
  ///
  /// - Throws: 65 when a tensor of that name is there already.
  package func beginTensor(named name: String) throws {
    guard names.insert(ByteName(name)).inserted else {
      throw GristError(.badData, "a tensor is there twice", file: output.path, tensor: name)
    }
    firstChunkOfTensor = chunks.count
  }

  /// Closes the tensor that was begun: its chunks held `unitsPerChunk` units each, the last one what remained.
  package func endTensor(_ tensor: TensorRecord, unitsPerChunk: Int) {
    var record = tensor
    record.chunks = ChunkRun(
      first: firstChunkOfTensor, count: chunks.count - firstChunkOfTensor, unitsPerChunk: unitsPerChunk)
    manifest.tensors.append(record)
  }

  /// Adds a file. `sha256` is its hash in hexadecimal.
  ///
  /// - Throws: 65 when a file of that name is there already, 74 when writing fails.
  package func add(file name: String, _ bytes: Bytes, sha256: String, packing: Packing) throws {
    guard fileNames.insert(ByteName(name)).inserted else {
      throw GristError(.badData, "a file is there twice", file: output.path, found: name)
    }
    var record = FileRecord(name: name, byteCount: bytes.count, sha256: sha256)
    record.chunks = ChunkRun(first: chunks.count, count: 0, unitsPerChunk: GristLayout.chunkTarget)
    var offset = 0
    while offset < bytes.count {
      guard let piece = bytes.slice(offset, min(GristLayout.chunkTarget, bytes.count - offset)) else { break }
      try append(PackedChunk(piece, packing: packing))
      offset += piece.count
    }
    record.chunks.count = chunks.count - record.chunks.first
    manifest.files.append(record)
  }

  /// Adds one chunk to the tensor or file that was begun.
  ///
  /// - Precondition: A segment was begun.
  /// - Throws: 74 when the disk is full, 65 for a row beyond 4 GiB.
  package func append(_ chunk: PackedChunk) throws {
    precondition(!manifest.segments.isEmpty, "a chunk belongs to a segment")
    guard chunk.stored.count <= UInt32.max, chunk.payloadLength <= UInt32.max else {
      throw GristError(
        .badData, "a row is too large to store: a chunk holds at most 4 GiB", file: output.path,
        found: "\(chunk.payloadLength) bytes")
    }
    guard chunk.payloadLength > 0 else { return }
    try output.pad(toMultipleOf: startsSegment ? GristLayout.segmentAlignment : GristLayout.chunkAlignment)
    startsSegment = false
    chunks.append(ChunkEntry(chunk, at: output.count))
    try chunk.stored.withUnsafeBytes { try output.append($0) }
    manifest.segments[manifest.segments.count - 1].count += 1
  }

  private func write(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try output.append($0) } }

  /// Writes the index and the header, flushes everything to the disk and gives the file its name.
  ///
  /// - Throws: 74 when writing fails.
  package func finish() throws {
    manifest.segments.removeAll { $0.count == 0 }
    try output.pad(toMultipleOf: GristLayout.chunkAlignment)
    let offset = output.count
    let (index, manifestLength) = encodedIndex(manifest.json, chunks)
    try write(index)
    let slot = IndexSlot(
      generation: 1, fileLength: output.count, manifestOffset: offset, manifestLength: manifestLength,
      chunkCount: chunks.count, indexChecksum: index.withUnsafeBytes { checksum($0) })
    let header = [
      (0, Superblock(origin: slot.indexChecksum).encoded), (IndexSlot.offset(ofGeneration: 1), slot.encoded),
    ]
    for (offset, bytes) in header { try bytes.withUnsafeBytes { try output.overwrite($0, at: offset) } }
    try output.commit()
  }
}
