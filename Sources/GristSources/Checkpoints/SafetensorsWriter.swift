import GristCore
import GristFormat

/// Writes a safetensors file: a header, then the tensors one after the other.
package struct SafetensorsWriter {
  private var metadata: [(name: String, value: String)]
  private var tensors: [(name: String, elementType: ElementType, shape: [Int], bytes: Bytes)] = []

  package init(metadata: [(name: String, value: String)] = []) { self.metadata = metadata }

  /// Adds a text to the metadata.
  package mutating func describe(_ name: String, _ value: String) { metadata.append((name, value)) }

  /// Adds a tensor.
  ///
  /// - Throws: 65 when its bytes do not fit type and shape.
  package mutating func add(_ name: String, _ elementType: ElementType, shape: [Int], bytes: Bytes) throws {
    guard elementCount(of: shape).flatMap({ elementType.byteCount(ofElements: $0) }) == bytes.count else {
      throw GristError(
        .badData, "a tensor's bytes do not fit its shape", tensor: name, found: "\(bytes.count) bytes for \(shape)")
    }
    tensors.append((name, elementType, shape, bytes))
  }

  /// Adds f32 values.
  ///
  /// - Throws: 65 when the values do not fill the shape.
  package mutating func add(_ name: String, shape: [Int], floats: [Float]) throws {
    try add(name, .f32, shape: shape, bytes: floats.withUnsafeBytes { Bytes([UInt8]($0)) })
  }

  /// The same with a checksum over all of it among the metadata, which ``SafetensorsFile/requireChecksum()`` asks for.
  package var encodedWithChecksum: Bytes { withChecksum.encoded }

  private var withChecksum: SafetensorsWriter {
    var copy = self
    copy.describe(
      SafetensorsFile.checksumName,
      safetensorsChecksum(metadata: metadata, tensors: tensors.map { ($0.name, $0.elementType, $0.shape, $0.bytes) }))
    return copy
  }

  /// Makes ``encodedWithChecksum`` the whole of a file, without a second copy of it in memory.
  ///
  /// - Throws: 74 when it cannot be written.
  package func writeWithChecksum(to file: AtomicFile) throws {
    let whole = withChecksum
    try Self.header(
      metadata: whole.metadata, tensors.map { ($0.name, $0.elementType, $0.shape, $0.bytes.count) }
    ).withUnsafeBytes { try file.append($0) }
    for tensor in tensors { try tensor.bytes.withUnsafeBytes { try file.append($0) } }
    try file.commit()
  }

  /// The whole file as bytes; the header is padded with spaces so that the data start on 8 bytes.
  package var encoded: Bytes {
    let header = Self.header(metadata: metadata, tensors.map { ($0.name, $0.elementType, $0.shape, $0.bytes.count) })
    let dataBytes = tensors.reduce(0) { $0 + $1.bytes.count }
    let buffer = AlignedBuffer(byteCount: header.count + dataBytes)
    buffer.withUnsafeMutableBytes { target in
      target.copyBytes(from: header)
      var position = header.count
      for tensor in tensors {
        tensor.bytes.withUnsafeBytes { target[position...].copyBytes(from: $0) }
        position += tensor.bytes.count
      }
    }
    return buffer.bytes
  }

  /// What stands before the data: the length of the JSON, and the JSON, padded with spaces so that the data start on 8
  /// bytes.
  package static func header(
    metadata: [(name: String, value: String)],
    _ tensors: [(name: String, elementType: ElementType, shape: [Int], byteCount: Int)]
  ) -> [UInt8] {
    var header = JSONObject()
    if !metadata.isEmpty {
      var strings = JSONObject()
      for (name, value) in metadata { strings[name] = JSONValue(value) }
      header["__metadata__"] = .object(strings)
    }
    var offset = 0
    for tensor in tensors {
      header[tensor.name] = [
        "dtype": JSONValue(tensor.elementType.rawValue.uppercased()), "shape": JSONValue(tensor.shape),
        "data_offsets": JSONValue([offset, offset + tensor.byteCount]),
      ]
      offset += tensor.byteCount
    }
    var json = Array(JSONValue.object(header).text().utf8)
    json += [UInt8](repeating: 0x20, count: (8 - json.count % 8) % 8)
    return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
  }
}

/// XXH3-128 over everything that a file says, 32 hexadecimal digits: the metadata in their order, then each tensor.
func safetensorsChecksum(
  metadata: [(name: String, value: String)],
  tensors: [(name: String, elementType: ElementType, shape: [Int], bytes: Bytes)]
) -> String {
  var hash = StreamingFingerprint()
  func add(_ text: String) { hash.update(Bytes(Array(text.utf8) + [0])) }
  for (name, value) in metadata {
    add(name)
    add(value)
  }
  for tensor in tensors {
    add("\(tensor.name) \(tensor.elementType.rawValue) \(tensor.shape)")
    hash.update(tensor.bytes)
  }
  return hash.digits()
}

extension SafetensorsFile {
  static let checksumName = "xxh3"

  /// Whether the file has a checksum of its own.
  package var hasChecksum: Bool { metadata.contains { $0.name == Self.checksumName } }

  /// - Throws: 65 when the file has no checksum, or one that does not fit.
  package func requireChecksum() throws {
    let others = metadata.filter { $0.name != Self.checksumName }
    let found = safetensorsChecksum(
      metadata: others, tensors: try tensors.map { ($0.name, $0.elementType, $0.shape, try $0.bytes()) })
    guard metadata.contains(where: { $0.name == Self.checksumName && $0.value == found }) else {
      throw GristError(.badData, "the file's checksum does not fit", file: path, advice: "the file is damaged")
    }
  }
}
