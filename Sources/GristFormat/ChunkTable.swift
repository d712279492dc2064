import GristCore

/// Where one chunk lies and how it is stored: 32 bytes in the file.
struct ChunkEntry: Sendable, Equatable {
  /// The codec of what is not in use any more: an earlier index, a file that another one took the place of.
  static let freeCodec: UInt8 = 255

  var offset: Int
  var storedLength: Int
  var payloadLength: Int
  /// XXH3-64 of the stored bytes.
  var checksum: UInt64
  /// A ``ChunkCodec``, ``freeCodec``, or one of a later version.
  var codecNumber: UInt8

  var end: Int { offset + storedLength }
  var isFree: Bool { codecNumber == Self.freeCodec }
  var codec: ChunkCodec? { ChunkCodec(rawValue: codecNumber) }

  init(offset: Int, storedLength: Int, payloadLength: Int, checksum: UInt64, codecNumber: UInt8) {
    self.offset = offset
    self.storedLength = storedLength
    self.payloadLength = payloadLength
    self.checksum = checksum
    self.codecNumber = codecNumber
  }

  init(_ chunk: PackedChunk, at offset: Int) {
    self.init(
      offset: offset, storedLength: chunk.stored.count, payloadLength: chunk.payloadLength,
      checksum: GristCore.checksum(chunk.stored), codecNumber: chunk.codec.rawValue)
  }

  /// The same bytes, in nobody's use.
  var freed: ChunkEntry {
    ChunkEntry(
      offset: offset, storedLength: storedLength, payloadLength: storedLength, checksum: checksum,
      codecNumber: Self.freeCodec)
  }

  func encode(into bytes: inout [UInt8]) {
    bytes.append(littleEndian: UInt64(offset))
    bytes.append(littleEndian: UInt32(storedLength))
    bytes.append(littleEndian: UInt32(payloadLength))
    bytes.append(littleEndian: checksum)
    bytes.append(littleEndian: UInt64(codecNumber))
  }
}

/// Reads a chunk table and checks it against the file it lies in: entries in file order, aligned, without overlaps,
/// inside the data, no gap wider than alignment explains, no declared size that the stored bytes could not hold.
func parseChunkTable(_ bytes: Bytes, tableOffset: Int, dataEnd: Int, segmentStarts: Set<Int>) throws -> [ChunkEntry] {
  let count = bytes.count / GristLayout.chunkEntryBytes
  var entries: [ChunkEntry] = []
  entries.reserveCapacity(count)
  var end = GristLayout.headerBytes
  for index in 0..<count {
    let base = index * GristLayout.chunkEntryBytes
    func failure(_ what: String, _ found: String) -> GristError {
      GristError(
        .badData, "chunk \(index): \(what)", offset: UInt64(tableOffset + base), found: found,
        advice: "the file is damaged: fetch it again")
    }
    // The last four bytes of an entry are for readers that know more.
    guard let offset = bytes.integer(at: base, as: UInt64.self).flatMap({ Int(exactly: $0) }),
      let stored = bytes.integer(at: base + 8, as: UInt32.self),
      let payload = bytes.integer(at: base + 12, as: UInt32.self),
      let checksum = bytes.integer(at: base + 16, as: UInt64.self),
      let word = bytes.integer(at: base + 24, as: UInt32.self)
    else { throw failure("the entry is cut off or its offset is absurd", "\(bytes.count) bytes of table") }
    guard let codec = UInt8(exactly: word) else {
      throw reservedBytes(at: tableOffset + base + 25, found: UInt64(word))
    }
    let alignment = segmentStarts.contains(index) ? GristLayout.segmentAlignment : GristLayout.chunkAlignment
    // `end` is at most `dataEnd`, a length of a real file, so this cannot overflow.
    let expected = end.roundedUp(toMultipleOf: alignment) ?? end
    guard offset == expected else { throw failure("it does not start where it must, at \(expected)", "\(offset)") }
    guard stored > 0, payload > 0, Int(stored) <= dataEnd - offset else {
      throw failure("it is empty or ends beyond the data", "\(stored) bytes at \(offset), the data end at \(dataEnd)")
    }
    let entry = ChunkEntry(
      offset: offset, storedLength: Int(stored), payloadLength: Int(payload), checksum: checksum, codecNumber: codec)
    guard entry.codec != .raw && !entry.isFree || stored == payload, UInt64(payload) <= UInt64(stored) * 65_536 else {
      throw failure("its lengths do not fit together", "\(stored) bytes stored, \(payload) unpacked")
    }
    guard Int(payload) <= max(GristLayout.boundlessPayload, Int(stored) * GristLayout.greatestRatio) else {
      throw failure("it claims to unpack to far more than it is", "\(stored) bytes stored, \(payload) unpacked")
    }
    entries.append(entry)
    end = entry.end
  }
  guard end.roundedUp(toMultipleOf: GristLayout.chunkAlignment) == dataEnd else {
    throw GristError(
      .badData, "bytes after the last chunk belong to none", offset: UInt64(end), found: "\(dataEnd - end) bytes")
  }
  return entries
}
