import GristCore

/// What is written as a GGUF file: metadata, then tensors. Source: ggml's description of the format, version 3.
struct GGUFFile: Sendable {
  /// A value of the metadata. Numbers are little-endian.
  enum Value: Sendable {
    case uint32(Int)
    case int32(Int)
    case float32(Float)
    case bool(Bool)
    case string([UInt8])
    case strings([[UInt8]])
    case int32s([Int])
    case float32s([Float])

    static func text(_ text: String) -> Value { .string(Array(text.utf8)) }
  }

  /// ggml's types, as far as they are written.
  enum TensorType: UInt32, Sendable {
    case f32 = 0
    case f16 = 1
    case q8 = 8
    case bf16 = 30
  }

  struct Tensor: Sendable {
    let name: String
    let type: TensorType
    /// Outermost extent first, as ours; written the other way round.
    let shape: [Int]
    let byteCount: Int
    /// The bytes of a range.
    let bytes: @Sendable (Range<Int>) throws -> Bytes
    /// Says that a range will not be used again soon.
    let release: @Sendable (Range<Int>) -> Void
  }

  static let alignment = 32

  var metadata: [(name: String, value: Value)] = []
  var tensors: [Tensor] = []

  /// Everything before the tensors' data.
  var header: [UInt8] {
    var bytes = Array("GGUF".utf8)
    bytes.append(number: UInt32(3))
    bytes.append(number: UInt64(tensors.count))
    bytes.append(number: UInt64(metadata.count))
    for (name, value) in metadata {
      bytes.append(string: Array(name.utf8))
      bytes.append(value)
    }
    var offset = 0
    for tensor in tensors {
      bytes.append(string: Array(tensor.name.utf8))
      bytes.append(number: UInt32(tensor.shape.count))
      for extent in tensor.shape.reversed() { bytes.append(number: UInt64(extent)) }
      bytes.append(number: tensor.type.rawValue)
      bytes.append(number: UInt64(offset))
      offset += Self.padded(tensor.byteCount)
    }
    return bytes + [UInt8](repeating: 0, count: Self.padded(bytes.count) - bytes.count)
  }

  var byteCount: Int { header.count + tensors.reduce(0) { $0 + Self.padded($1.byteCount) } }

  /// Rounded up to where the next tensor may begin.
  static func padded(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }
}

extension [UInt8] {
  fileprivate mutating func append<Number: FixedWidthInteger>(number: Number) {
    Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
  }

  fileprivate mutating func append(string: [UInt8]) {
    append(number: UInt64(string.count))
    append(contentsOf: string)
  }

  /// A value behind the number of its type.
  fileprivate mutating func append(_ value: GGUFFile.Value) {
    func array(_ type: UInt32, _ count: Int) {
      append(number: UInt32(9))
      append(number: type)
      append(number: UInt64(count))
    }
    switch value {
    case .uint32(let number):
      append(number: UInt32(4))
      append(number: UInt32(clamping: number))
    case .int32(let number):
      append(number: UInt32(5))
      append(number: Int32(clamping: number))
    case .float32(let number):
      append(number: UInt32(6))
      append(number: number.bitPattern)
    case .bool(let flag):
      append(number: UInt32(7))
      append(flag ? 1 : 0)
    case .string(let text):
      append(number: UInt32(8))
      append(string: text)
    case .strings(let texts):
      array(8, texts.count)
      for text in texts { append(string: text) }
    case .int32s(let numbers):
      array(5, numbers.count)
      for number in numbers { append(number: Int32(clamping: number)) }
    case .float32s(let numbers):
      array(6, numbers.count)
      for number in numbers { append(number: number.bitPattern) }
    }
  }
}
