import GristCore

/// A file inside that is put into a `.grist` file in place: its own bytes and a new index are written behind the old
/// end, then the slot that is not in use names that index. Until then, and where it never happens, the file is what it
/// was; nothing that it held is touched. Nobody else can write it meanwhile.
package struct Addition {
  private let file: GristFile
  private let output: GrowingFile

  /// - Throws: 74 when the file cannot be written, was changed since it was opened, or another program is writing it;
  ///   65 when it holds no chunk that something could follow.
  package init(to file: GristFile) throws {
    guard !file.index.chunks.isEmpty else {
      throw GristError(.badData, "the file holds nothing, and takes nothing", file: file.path)
    }
    self.file = file
    output = try GrowingFile(path: file.path, in: file.file.identity, end: file.byteCount)
  }

  /// Puts a file inside, in place of any of its name.
  ///
  /// - Parameters:
  ///   - name: the file inside.
  ///   - bytes: what it holds.
  ///   - sha256: of the bytes, in hexadecimal.
  ///   - segment: the name of the segment that it begins.
  ///
  /// - Throws: 74 when writing fails, and the file is as it was; 65 when it is damaged; 130 when the user interrupts.
  package func finish(adding name: String, _ bytes: Bytes, sha256: String, segment: String) throws {
    var chunks = file.index.chunks
    let old = file.manifest.files.first { ByteName($0.name) == ByteName(name) }
    for index in old?.chunks.range ?? 0..<0 { chunks[index] = chunks[index].freed }
    chunks.append(try oldIndex())
    try output.begin()
    let run = try write(bytes, after: &chunks)
    let record = FileRecord(name: name, byteCount: bytes.count, sha256: sha256, chunks: run)
    let manifest = try manifest(with: record, segment: SegmentRecord(name: segment, first: run.first, count: run.count))
    try output.pad(toMultipleOf: GristLayout.chunkAlignment)
    let offset = output.count
    let (index, manifestLength) = encodedIndex(manifest, chunks)
    try output.append(Bytes(index))
    let slot = IndexSlot(
      generation: file.generation + 1, fileLength: output.count, manifestOffset: offset,
      manifestLength: manifestLength, chunkCount: chunks.count,
      indexChecksum: index.withUnsafeBytes { checksum($0) })
    try output.commit(slot.encoded, at: IndexSlot.offset(ofGeneration: slot.generation))
  }

  /// The index of the state before, as a chunk that is free.
  private func oldIndex() throws -> ChunkEntry {
    let (start, end) = (file.index.offset, file.index.end)
    guard let bytes = file.file.bytes.slice(start, end - start), end - start <= UInt32.max else {
      throw GristError(.badData, "the index is too long to be added to", file: file.path, found: "\(end - start) bytes")
    }
    return ChunkEntry(
      offset: start, storedLength: end - start, payloadLength: end - start, checksum: checksum(bytes),
      codecNumber: ChunkEntry.freeCodec)
  }

  private func write(_ bytes: Bytes, after chunks: inout [ChunkEntry]) throws -> ChunkRun {
    let first = chunks.count
    let pieces = stride(from: 0, to: bytes.count, by: GristLayout.chunkTarget)
    for start in pieces {
      guard let piece = bytes.slice(start, min(GristLayout.chunkTarget, bytes.count - start)) else { break }
      try Interruption.check()
      let packed = try PackedChunk(piece, packing: file.manifest.provenance.packing)
      try output.pad(toMultipleOf: start == 0 ? GristLayout.segmentAlignment : GristLayout.chunkAlignment)
      chunks.append(ChunkEntry(packed, at: output.count))
      try output.append(packed.stored)
    }
    return ChunkRun(first: first, count: chunks.count - first, unitsPerChunk: GristLayout.chunkTarget)
  }

  /// The manifest's text is changed only where it must be: what this version does not know of it stays.
  private func manifest(with record: FileRecord, segment: SegmentRecord) throws -> JSONValue {
    var json = try file.index.manifestJSON(of: file.file.bytes)
    var segments = file.manifest.segments
    segments[segments.count - 1].count += 1
    if segment.count > 0 { segments.append(segment) }
    var written = json["segments"]?.array ?? []
    for (index, segment) in segments.enumerated() {
      guard index < written.count, var object = written[index].object else {
        written.append(segment.json)
        continue
      }
      object["count"] = JSONValue(segment.count)
      written[index] = .object(object)
    }
    json["segments"] = .array(written)
    let others = (json["files"]?.array ?? []).filter { $0["name"]?.string.map(ByteName.init) != ByteName(record.name) }
    json["files"] = .array(others + [record.json])
    return .object(json)
  }
}
