internal import CXXHash
import GristCore

/// The numbers of the byte layout; `Formats/grist.md` is their description.
public enum GristLayout {
  /// "GRIST", then bytes that a text-mode transfer would change.
  static let magic: [UInt8] = [0x47, 0x52, 0x49, 0x53, 0x54, 0x0d, 0x0a, 0x1a]
  /// Layouts may still change until version 1: a reader takes only its own.
  public static let version: UInt32 = 0
  /// The superblock is padded to this with zeros, and segments start on multiples of it.
  public static let segmentAlignment = 65_536
  /// Chunks, and the two parts of the index, start on multiples of this.
  public static let chunkAlignment = 64
  /// Payload bytes a chunk aims for; it always holds at least one unit (a tile, a row, an element).
  public static let chunkTarget = 1 << 20
  /// The same for tables that are looked up by row.
  public static let tableChunkTarget = 64 << 10
  /// A chunk whose payload is larger than this unpacks to no more than ``greatestRatio`` times what is stored, so that a small
  /// file cannot fill the memory.
  static let boundlessPayload = 16 << 20
  static let greatestRatio = 8
  static let superblockFields = 64
  static let chunkEntryBytes = 32
  /// A manifest longer than this is refused before it is read.
  static let manifestLimit = 256 << 20
}

/// XXH3, 64 bits, seed 0.
public func checksum(_ bytes: Bytes) -> UInt64 {
  bytes.withUnsafeBytes { XXH3_64bits($0.baseAddress, $0.count) }
}

/// XXH3, 64 bits, seed 0.
public func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 { XXH3_64bits(bytes.baseAddress, bytes.count) }

/// XXH3 with 128 bits over data that comes in pieces, for fingerprints of source tensors.
public struct StreamingFingerprint: ~Copyable {
  private let state: OpaquePointer

  public init() {
    // Allocation of a few hundred bytes; it fails only where nothing else works either.
    state = XXH3_createState()
    XXH3_128bits_reset(state)
  }

  deinit { XXH3_freeState(state) }

  public mutating func update(_ bytes: Bytes) {
    bytes.withUnsafeBytes { _ = XXH3_128bits_update(state, $0.baseAddress, $0.count) }
  }

  /// 32 hexadecimal digits, most significant first.
  public func digits() -> String {
    let hash = XXH3_128bits_digest(state)
    return hexadecimal(hash.high64) + hexadecimal(hash.low64)
  }
}

/// 16 hexadecimal digits.
func hexadecimal(_ value: UInt64) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: 16 - digits.count) + digits
}

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

extension OutputKind {
  /// A `.grist` file of whatever version.
  public static let grist = OutputKind(name: "a .grist file") {
    $0.slice(0, 5)?.array == Array(GristLayout.magic[..<5])
  }
}
