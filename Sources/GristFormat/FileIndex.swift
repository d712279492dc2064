import GristCore

/// One state of a file, as its slot, manifest and chunk table describe it.
struct FileIndex {
  let superblock: Superblock
  let slot: IndexSlot
  let manifest: Manifest
  let chunks: [ChunkEntry]
  /// Whether something was begun to be added behind this state, and not finished.
  let isFollowedByUnfinished: Bool

  /// Where the index begins, behind the last chunk.
  let offset: Int
  /// Where this state ends.
  let end: Int

  /// - Parameter bytes: the whole file.
  ///
  /// - Throws: 65 with offset and value found when it is damaged, cut short, or not of this version.
  init(_ bytes: Bytes) throws {
    superblock = try Superblock(bytes)
    let (slot, otherIsBroken) = try IndexSlot.current(of: bytes)
    self.slot = slot
    try Self.checkHeaderPadding(bytes)
    guard slot.fileLength <= UInt64(bytes.count) else {
      throw GristError(
        .badData, "the file is cut short", offset: UInt64(IndexSlot.offset(ofGeneration: slot.generation) + 8),
        found: "\(bytes.count) bytes instead of \(slot.fileLength)", advice: "fetch it again")
    }
    let alignment = GristLayout.chunkAlignment
    let tableLength = Int(slot.chunkCount) * GristLayout.chunkEntryBytes
    guard let end = Int(exactly: slot.fileLength), let offset = Int(exactly: slot.manifestOffset),
      let length = Int(exactly: slot.manifestLength), length <= GristLayout.manifestLimit, offset % alignment == 0,
      offset >= GristLayout.headerBytes, offset <= end, length <= end - offset,
      let tableOffset = (offset + length).roundedUp(toMultipleOf: alignment), tableOffset <= end,
      tableLength == end - tableOffset, let index = bytes.slice(offset, end - offset),
      let text = bytes.slice(offset, length), let table = bytes.slice(tableOffset, tableLength),
      let padding = bytes.slice(offset + length, tableOffset - offset - length)
    else {
      throw GristError(
        .badData, "the header points outside the file",
        offset: UInt64(IndexSlot.offset(ofGeneration: slot.generation) + 16),
        found: "manifest at \(slot.manifestOffset), \(slot.manifestLength) bytes")
    }
    guard checksum(index) == slot.indexChecksum else {
      throw GristError(
        .badData, "the index's checksum does not fit", offset: slot.manifestOffset,
        advice: "the file is damaged: fetch it again")
    }
    guard padding.isAllZero else { throw paddingError(at: offset + length) }
    do {
      manifest = try Manifest(JSONReader(JSONValue.parse(text), file: ""))
    } catch var error as GristError {
      error.file = nil
      error.offset = error.offset.map { $0 + UInt64(offset) } ?? UInt64(offset)
      throw error
    }
    try Self.checkSegments(manifest.segments, chunkCount: Int(slot.chunkCount))
    chunks = try parseChunkTable(
      table, tableOffset: tableOffset, dataEnd: offset, segmentStarts: Set(manifest.segments.map(\.first)))
    self.offset = offset
    self.end = end
    isFollowedByUnfinished = otherIsBroken || end < bytes.count
  }

  /// The manifest and chunk table of an index that lies in a file, by itself.
  ///
  /// - Throws: 65 when they do not fit together.
  static func parse(
    _ index: Bytes, at offset: Int, manifestLength: Int
  ) throws -> (manifest: Manifest, chunks: [ChunkEntry]) {
    guard let table = manifestLength.roundedUp(toMultipleOf: GristLayout.chunkAlignment), manifestLength >= 0,
      let text = index.slice(0, manifestLength), let entries = index.slice(table, index.count - table)
    else { throw GristError(.badData, "an index of another length", offset: UInt64(offset)) }
    let manifest = try Manifest(JSONReader(JSONValue.parse(text), file: ""))
    let starts = Set(manifest.segments.map(\.first))
    return (
      manifest,
      try parseChunkTable(entries, tableOffset: offset + table, dataEnd: offset, segmentStarts: starts)
    )
  }

  /// The manifest's text, member by member.
  ///
  /// - Throws: 65 where it is not what it was when it was opened.
  func manifestJSON(of bytes: Bytes) throws -> JSONObject {
    guard let text = bytes.slice(offset, Int(slot.manifestLength)), let object = try JSONValue.parse(text).object else {
      throw GristError(.badData, "the manifest is no JSON object", offset: UInt64(offset))
    }
    return object
  }

  /// Between the fields of the header and behind them there is nothing.
  private static func checkHeaderPadding(_ bytes: Bytes) throws {
    let fields = [0] + GristLayout.slotOffsets
    for (start, next) in zip(fields, fields.dropFirst() + [GristLayout.headerBytes]) {
      let padding = start + GristLayout.headerFields
      guard bytes.slice(padding, next - padding)?.isAllZero == true else { throw paddingError(at: padding) }
    }
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
}

func paddingError(at offset: Int) -> GristError {
  GristError(
    .badData, "padding that must be zero is not", offset: UInt64(offset),
    advice: "the file is damaged: fetch it again")
}

/// The bytes of an index: a manifest's text, zeros, the chunk table.
///
/// - Returns: them, and the length of the text.
func encodedIndex(_ manifest: JSONValue, _ chunks: [ChunkEntry]) -> (bytes: [UInt8], manifestLength: Int) {
  var index = Array(manifest.text().utf8)
  let length = index.count
  let alignment = GristLayout.chunkAlignment
  index += [UInt8](repeating: 0, count: (alignment - length % alignment) % alignment)
  for chunk in chunks { chunk.encode(into: &index) }
  return (index, length)
}
