import GristCore

/// The first 64 bytes of a file.
struct Superblock: Equatable {
  var fileLength: UInt64
  var manifestOffset: UInt64
  var manifestLength: UInt64
  var chunkTableOffset: UInt64
  var chunkCount: UInt32
  /// XXH3-64 of everything from the manifest's first byte to the end of the file.
  var indexChecksum: UInt64

  /// The fields as bytes, their own checksum last.
  var encoded: [UInt8] {
    var bytes = GristLayout.magic
    bytes.append(littleEndian: GristLayout.version)
    bytes.append(littleEndian: chunkCount)
    for field in [fileLength, manifestOffset, manifestLength, chunkTableOffset, indexChecksum] {
      bytes.append(littleEndian: field)
    }
    bytes.append(littleEndian: bytes.withUnsafeBytes { checksum($0) })
    return bytes
  }

  /// - Throws: 65 when this is no `.grist` file, one of another version, damaged, or cut short.
  init(_ bytes: Bytes) throws {
    func integer<Value: FixedWidthInteger>(_ offset: Int, _ type: Value.Type) throws -> Value {
      guard let value = bytes.integer(at: offset, as: type) else {
        throw GristError(
          .badData, "too short for a .grist header", offset: 0, found: "\(bytes.count) bytes",
          advice: "fetch the file again")
      }
      return value
    }
    guard bytes.slice(0, 8)?.array == GristLayout.magic else {
      let contents = FileContents(of: bytes)
      throw GristError(
        .badData, "not a .grist file: it does not start with the format's magic bytes", offset: 0,
        found: contents?.name, advice: contents?.advice ?? "convert the checkpoint with `gristmill convert`")
    }
    let version = try integer(8, UInt32.self)
    guard version == GristLayout.version else {
      throw GristError(
        .badData, "a .grist version this program does not read", offset: 8, found: "version \(version)",
        advice: version > GristLayout.version ? "use a newer gristmill" : "convert the checkpoint again")
    }
    guard try integer(56, UInt64.self) == bytes.slice(0, 56).map({ checksum($0) }) else {
      throw GristError(
        .badData, "the header's checksum does not fit", offset: 56, advice: "the file is damaged: fetch it again")
    }
    chunkCount = try integer(12, UInt32.self)
    fileLength = try integer(16, UInt64.self)
    manifestOffset = try integer(24, UInt64.self)
    manifestLength = try integer(32, UInt64.self)
    chunkTableOffset = try integer(40, UInt64.self)
    indexChecksum = try integer(48, UInt64.self)
  }

  init(
    fileLength: Int, manifestOffset: Int, manifestLength: Int, chunkTableOffset: Int, chunkCount: Int,
    indexChecksum: UInt64
  ) {
    self.fileLength = UInt64(fileLength)
    self.manifestOffset = UInt64(manifestOffset)
    self.manifestLength = UInt64(manifestLength)
    self.chunkTableOffset = UInt64(chunkTableOffset)
    self.chunkCount = UInt32(chunkCount)
    self.indexChecksum = indexChecksum
  }
}

extension [UInt8] {
  mutating func append<Value: FixedWidthInteger>(littleEndian value: Value) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }
}
