import GristCore

/// The first 64 bytes of a file: written once, with the file.
struct Superblock: Equatable {
  /// The index checksum of the first state, which tells a file that was added to from another one.
  var origin: UInt64

  init(origin: UInt64) { self.origin = origin }

  /// The fields as bytes, their own checksum last.
  var encoded: [UInt8] {
    var bytes = GristLayout.magic
    bytes.append(littleEndian: GristLayout.version)
    bytes.append(littleEndian: UInt32(0))
    bytes.append(littleEndian: origin)
    bytes.append(contentsOf: [UInt8](repeating: 0, count: 32))
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
    let reserved = try integer(12, UInt32.self)
    guard reserved == 0 else { throw reservedBytes(at: 12, found: UInt64(reserved)) }
    origin = try integer(16, UInt64.self)
  }
}

/// What stands where a version that this one does not know may put something.
func reservedBytes(at offset: Int, found: UInt64) -> GristError {
  GristError(
    .badData, "bytes that are reserved for later versions are not zero", offset: UInt64(offset),
    found: hexadecimal(found), advice: "use a newer gristmill")
}

extension [UInt8] {
  mutating func append<Value: FixedWidthInteger>(littleEndian value: Value) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }
}
