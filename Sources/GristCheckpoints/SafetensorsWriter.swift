import GristCore

/// Writes a safetensors file: a header, then the tensors one after the other.
public struct SafetensorsWriter {
  private var metadata: [(name: String, value: String)]
  private var tensors: [(name: String, elementType: ElementType, shape: [Int], bytes: Bytes)] = []

  public init(metadata: [(name: String, value: String)] = []) { self.metadata = metadata }

  /// Adds a text to the metadata.
  public mutating func describe(_ name: String, _ value: String) { metadata.append((name, value)) }

  /// Adds a tensor.
  ///
  /// - Throws: 65 when its bytes do not fit type and shape.
  public mutating func add(_ name: String, _ elementType: ElementType, shape: [Int], bytes: Bytes) throws {
    guard elementCount(of: shape).flatMap({ elementType.byteCount(ofElements: $0) }) == bytes.count else {
      throw GristError(
        .badData, "a tensor's bytes do not fit its shape", tensor: name, found: "\(bytes.count) bytes for \(shape)")
    }
    tensors.append((name, elementType, shape, bytes))
  }

  /// Adds f32 values.
  ///
  /// - Throws: 65 when the values do not fill the shape.
  public mutating func add(_ name: String, shape: [Int], floats: [Float]) throws {
    try add(name, .f32, shape: shape, bytes: floats.withUnsafeBytes { Bytes([UInt8]($0)) })
  }

  /// The whole file as bytes; the header is padded with spaces so that the data start on 8 bytes.
  public var encoded: Bytes {
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
        "data_offsets": JSONValue([offset, offset + tensor.bytes.count]),
      ]
      offset += tensor.bytes.count
    }
    var json = Array(JSONValue.object(header).text().utf8)
    json += [UInt8](repeating: 0x20, count: (8 - json.count % 8) % 8)
    let buffer = AlignedBuffer(byteCount: 8 + json.count + offset)
    buffer.withUnsafeMutableBytes { target in
      target.storeBytes(of: UInt64(json.count).littleEndian, as: UInt64.self)
      target[8...].copyBytes(from: json)
      var position = 8 + json.count
      for tensor in tensors {
        tensor.bytes.withUnsafeBytes { target[position...].copyBytes(from: $0) }
        position += tensor.bytes.count
      }
    }
    return buffer.bytes
  }
}
