import GristCore

/// Reads the fields of a protocol buffer, one after the other, and never beyond its end.
///
/// Source: the encoding as Protocol Buffers describe it. Fields that nobody asks for are passed over, as the format
/// wants it.
struct ProtobufReader {
  enum Value {
    case integer(UInt64)
    case fixed32(UInt32)
    case fixed64
    /// A string, bytes or a message.
    case bytes(Bytes)
  }

  private let bytes: Bytes
  private var position = 0

  init(_ bytes: Bytes) { self.bytes = bytes }

  /// The next field; nil at the end.
  ///
  /// - Throws: 65 where the bytes make no sense.
  mutating func next() throws -> (number: Int, value: Value)? {
    guard position < bytes.count else { return nil }
    let tag = try varint()
    let number = Int(truncatingIfNeeded: tag >> 3)
    guard number > 0, number < 1 << 29 else { throw nonsense() }
    switch tag & 7 {
    case 0: return (number, .integer(try varint()))
    case 1:
      _ = try take(8)
      return (number, .fixed64)
    case 2:
      guard let length = Int(exactly: try varint()) else { throw nonsense() }
      return (number, .bytes(try take(length)))
    case 5:
      guard let value = try take(4).integer(at: 0, as: UInt32.self) else { throw nonsense() }
      return (number, .fixed32(value))
    default: throw nonsense()
    }
  }

  private mutating func take(_ count: Int) throws -> Bytes {
    guard let slice = bytes.slice(position, count) else { throw nonsense() }
    position += count
    return slice
  }

  private mutating func varint() throws -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      guard let byte = bytes.integer(at: position, as: UInt8.self) else { throw nonsense() }
      position += 1
      // Bits beyond the 64th are dropped, as the reference reader does.
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
    }
    throw nonsense()
  }

  private func nonsense() -> GristError {
    GristError(.badData, "not a SentencePiece model", offset: UInt64(position), advice: "fetch the file again")
  }
}
