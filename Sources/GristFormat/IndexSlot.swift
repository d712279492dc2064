import GristCore

/// Where one state of a file has its index. A file has two: what is added goes behind the state before it, and the slot
/// that is not in use comes to name it, in one write of 64 bytes.
struct IndexSlot: Equatable {
  /// Counts the states from 1; that of the greater number counts.
  var generation: UInt64
  /// The end of the index, and of this state; what lies behind it is of an addition that was not finished.
  var fileLength: UInt64
  var manifestOffset: UInt64
  var manifestLength: UInt64
  var chunkCount: UInt32
  /// XXH3-64 of everything from the manifest's first byte to the end of this state.
  var indexChecksum: UInt64

  init(
    generation: UInt64, fileLength: Int, manifestOffset: Int, manifestLength: Int, chunkCount: Int,
    indexChecksum: UInt64
  ) {
    self.generation = generation
    self.fileLength = UInt64(fileLength)
    self.manifestOffset = UInt64(manifestOffset)
    self.manifestLength = UInt64(manifestLength)
    self.chunkCount = UInt32(chunkCount)
    self.indexChecksum = indexChecksum
  }

  /// Where in the file the slot of a generation stands: the two take turns.
  static func offset(ofGeneration generation: UInt64) -> Int {
    GristLayout.slotOffsets[generation % 2 == 1 ? 0 : 1]
  }

  /// The fields as bytes, their own checksum last.
  var encoded: [UInt8] {
    var bytes: [UInt8] = []
    for field in [generation, fileLength, manifestOffset, manifestLength] { bytes.append(littleEndian: field) }
    bytes.append(littleEndian: chunkCount)
    bytes.append(littleEndian: UInt32(0))
    bytes.append(littleEndian: UInt64(0))
    bytes.append(littleEndian: indexChecksum)
    bytes.append(littleEndian: bytes.withUnsafeBytes { checksum($0) })
    return bytes
  }

  /// Nil where the bytes are no slot: their checksum does not fit, or the generation is not one of this place.
  ///
  /// - Throws: 65 where reserved bytes behind a right checksum are not zero.
  private init?(_ bytes: Bytes, at offset: Int) throws {
    func field(_ place: Int) -> UInt64? { bytes.integer(at: offset + place, as: UInt64.self) }
    guard let generation = field(0), let fileLength = field(8), let manifestOffset = field(16),
      let manifestLength = field(24), let chunkCount = bytes.integer(at: offset + 32, as: UInt32.self),
      let reserved = bytes.integer(at: offset + 36, as: UInt32.self), let indexChecksum = field(48),
      let fields = bytes.slice(offset, GristLayout.headerFields - 8), field(56) == checksum(fields), generation > 0,
      Self.offset(ofGeneration: generation) == offset
    else { return nil }
    guard reserved == 0 else { throw reservedBytes(at: offset + 36, found: UInt64(reserved)) }
    self.generation = generation
    self.fileLength = fileLength
    self.manifestOffset = manifestOffset
    self.manifestLength = manifestLength
    self.chunkCount = chunkCount
    self.indexChecksum = indexChecksum
  }

  /// The slot that counts.
  ///
  /// - Returns: it, and whether the other one holds something that is no slot: an addition that stopped half-way, or
  ///   damage.
  /// - Throws: 65 when there is none.
  static func current(of bytes: Bytes) throws -> (slot: IndexSlot, otherIsBroken: Bool) {
    guard bytes.count >= GristLayout.headerBytes else {
      throw GristError(
        .badData, "the file is cut short", offset: UInt64(bytes.count), found: "\(bytes.count) bytes",
        advice: "fetch it again")
    }
    let slots = try GristLayout.slotOffsets.map { try IndexSlot(bytes, at: $0) }
    let found = slots.compactMap { $0 }
    guard let newest = found.max(by: { $0.generation < $1.generation }) else {
      throw GristError(
        .badData, "the header's checksum does not fit", offset: UInt64(GristLayout.slotOffsets[0]),
        advice: "the file is damaged: fetch it again")
    }
    let isBroken = zip(slots, GristLayout.slotOffsets).contains { slot, offset in
      slot == nil && bytes.slice(offset, GristLayout.headerFields)?.isAllZero == false
    }
    return (newest, isBroken)
  }
}
