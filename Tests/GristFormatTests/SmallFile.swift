import Foundation
import GristCore
import GristFormat
import TestSupport
import Testing

let provenance = Provenance(
  tool: "test", architecture: "unknown", recipe: "source", overrides: ["a=f16"], packing: .zstd,
  fingerprint: "00ff", sources: [.init(name: "model.safetensors", byteCount: 9, sha256: "ab")],
  lineage: [.init(tool: "test", recipe: "source", isLossy: false)])

/// A file with everything a file can have, a few KB beside its padding: five chunks in one segment.
enum SmallFile {
  static let a = (0..<50).map { UInt8($0 + 1) }
  /// Codes of 8 bits, none of which is -128.
  static let b = (0..<704).map { UInt8(truncatingIfNeeded: $0 &* 37) == 0x80 ? 1 : UInt8(truncatingIfNeeded: $0 &* 37) }
  /// bf16 values whose exponents pack well.
  static let p: [UInt8] = (0..<1024).flatMap { [UInt8(truncatingIfNeeded: $0 &* 73), 0x3f] as [UInt8] }
  static let text = Array(String(repeating: "{\"hidden_size\": 64}\n", count: 20).utf8)

  /// Chunks: 0 and 1 of `a` (raw), 2 of `b` (raw), 3 of `p` (planes), 4 of the file (zstd).
  static func write(to path: String) throws {
    let writer = try GristWriter(path: path, provenance: provenance)
    writer.beginSegment("one")
    try writer.beginTensor(named: "a")
    try writer.append(PackedChunk(Bytes(Array(a[..<30])), packing: .raw))
    try writer.append(PackedChunk(Bytes(Array(a[30...])), packing: .raw))
    writer.endTensor(tensor("a", [50], .plain(.u8)), unitsPerChunk: 30)
    try writer.beginTensor(named: "b")
    try writer.append(PackedChunk(Bytes(b), packing: .raw))
    writer.endTensor(
      tensor("b", [3, 40], .grouped(.init(codes: .int8, groupSize: 32, layout: .tile16, scaleExponent: -3))),
      unitsPerChunk: 5)
    try writer.beginTensor(named: "z")
    writer.endTensor(tensor("z", [0, 3], .plain(.f32)), unitsPerChunk: 1)
    try writer.beginTensor(named: "p")
    try writer.append(PackedChunk(Bytes(p), packing: .zstd, element: .bf16))
    writer.endTensor(tensor("p", [64, 16], .plain(.bf16)), unitsPerChunk: 64)
    try writer.add(file: "config.json", Bytes(text), sha256: "cd", packing: .zstd)
    try writer.finish()
  }

  static func tensor(_ name: String, _ shape: [Int], _ scheme: TensorScheme) -> TensorRecord {
    TensorRecord(
      name: name, origin: TensorRecord.Origin(name: name, element: .f32), shape: shape, scheme: scheme,
      relativeError: 0.25)
  }

  static let contents: [String: [UInt8]] = ["a": a, "b": b, "z": [], "p": p, "file config.json": text]

  /// The file's bytes.
  static let bytes: [UInt8] = {
    do {
      let folder = try TemporaryFolder()
      try write(to: folder.file("small.grist"))
      return try readFile(folder.file("small.grist")).array
    } catch { fatalError("\(error)") }
  }()
}

/// A tensor's bytes as they are stored, unpacked.
func payload(of tensor: TensorRecord, in file: GristFile) throws -> [UInt8] {
  if case .unknown(let scheme) = tensor.scheme { throw scheme.error(file: file.path, tensor: tensor.name) }
  return try tensor.chunks.range.flatMap { try file.payload(ofChunk: $0).array }
}

/// Every tensor's and file's bytes; reading them all checks every chunk.
func contents(ofFile path: String) throws -> [String: [UInt8]] {
  let file = try GristFile(path: path)
  var contents: [String: [UInt8]] = [:]
  for tensor in file.manifest.tensors { contents[tensor.name] = try payload(of: tensor, in: file) }
  for record in file.manifest.files {
    contents["file " + record.name] = try #require(try file.sideFile(named: record.name)).array
  }
  return contents
}

/// Of the layout, as the page says it.
enum GristLayoutFacts {
  static let slots = [4096, 8192]
  static let header = 12_288
}

/// A file's bytes that can be damaged, and sealed again so that the damage lies behind right checksums.
struct Patch {
  var bytes: [UInt8]

  init(_ bytes: [UInt8] = SmallFile.bytes) { self.bytes = bytes }

  func integer(_ offset: Int, _ width: Int) -> UInt64 {
    (0..<width).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
  }

  mutating func set(_ offset: Int, _ value: UInt64, width: Int = 8) {
    for index in 0..<width { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
  }

  /// Of the slot in use, the first or the second.
  var slot: Int {
    let generations = GristLayoutFacts.slots.map { integer($0, 8) }
    return GristLayoutFacts.slots[generations[1] > generations[0] ? 1 : 0]
  }

  var manifestOffset: Int { Int(integer(slot + 16, 8)) }
  var manifestLength: Int { Int(integer(slot + 24, 8)) }
  var tableOffset: Int { (manifestOffset + manifestLength + 63) / 64 * 64 }
  var chunkCount: Int { Int(integer(slot + 32, 4)) }
  var manifest: String { String(decoding: bytes[manifestOffset..<manifestOffset + manifestLength], as: UTF8.self) }

  enum Field: Int {
    case offset = 0
    case stored = 8
    case payload = 12
    case checksum = 16
    case codec = 24
    var width: Int { self == .stored || self == .payload ? 4 : 8 }
  }

  func chunk(_ index: Int, _ field: Field) -> UInt64 { integer(tableOffset + 32 * index + field.rawValue, field.width) }

  mutating func setChunk(_ index: Int, _ field: Field, _ value: UInt64) {
    set(tableOffset + 32 * index + field.rawValue, value, width: field.width)
  }

  /// Makes a chunk's checksum right again.
  mutating func sealChunk(_ index: Int) {
    let (start, count) = (Int(chunk(index, .offset)), Int(chunk(index, .stored)))
    setChunk(index, .checksum, checksum(Bytes(Array(bytes[start..<start + count]))))
  }

  mutating func sealHeader() {
    for start in [0, slot] { set(start + 56, checksum(Bytes(Array(bytes[start..<start + 56])))) }
  }

  mutating func sealIndex() {
    set(slot + 8, UInt64(bytes.count))
    set(slot + 48, checksum(Bytes(Array(bytes[manifestOffset...]))))
    sealHeader()
  }

  /// Replaces the manifest's text and seals the file again.
  mutating func setManifest(_ text: String) {
    let (start, table) = (manifestOffset, Array(bytes[tableOffset...]))
    let json = Array(text.utf8)
    let padded = json + [UInt8](repeating: 0, count: (64 - json.count % 64) % 64)
    bytes = Array(bytes[..<start]) + padded + table
    set(slot + 24, UInt64(json.count))
    sealIndex()
  }

  /// Replaces a piece of the manifest that must be there exactly once.
  mutating func replace(_ old: String, _ new: String) throws {
    let parts = manifest.components(separatedBy: old)
    try #require(parts.count == 2, "\(old) stands \(parts.count - 1) times in the manifest")
    setManifest(parts.joined(separator: new))
  }

  /// What `body` makes of the file, which opens.
  func opened<Result>(_ body: (GristFile) throws -> Result) throws -> Result {
    let folder = try TemporaryFolder()
    return try body(GristFile(path: folder.write("opened.grist", bytes)))
  }

  /// Opens the file and reads all of it, which must fail with 65 naming the file.
  func refusal(sourceLocation: SourceLocation = #_sourceLocation) throws -> GristError {
    let folder = try TemporaryFolder()
    let path = try folder.write("broken.grist", bytes)
    let error = #expect(throws: GristError.self, sourceLocation: sourceLocation) { _ = try contents(ofFile: path) }
    let found = try #require(error, sourceLocation: sourceLocation)
    #expect(found.code == .badData, "\(found)", sourceLocation: sourceLocation)
    #expect(found.file == path, "\(found)", sourceLocation: sourceLocation)
    return found
  }
}
