import GristCore

/// An archive as torch.save writes it around pickled data, so that a mutation reaches the pickle and not its checksum.
enum TorchArchive {
  /// Values for whatever tensors the data name: a storage "0" of 64 bytes.
  private static let storage = [UInt8](0..<64)

  static func around(_ pickled: Bytes) -> Bytes {
    var (data, directory) = ([UInt8](), [UInt8]())
    for (name, bytes) in [("a/data.pkl", pickled.array), ("a/data/0", storage)] {
      var entry = little(20, 2) + little(0, 8) + little(Int(checksum(bytes)), 4)
      entry += little(bytes.count, 4) + little(bytes.count, 4) + little(name.utf8.count, 2)
      directory += little(0x0201_4b50, 4) + little(20, 2) + entry + little(0, 12) + little(data.count, 4) + name.utf8
      data += little(0x0403_4b50, 4) + entry + little(0, 2) + name.utf8 + bytes
    }
    let counts = little(0x0605_4b50, 4) + little(0, 4) + little(2, 2) + little(2, 2)
    return Bytes(data + directory + counts + little(directory.count, 4) + little(data.count, 4) + little(0, 2))
  }

  private static func little(_ value: Int, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  private static let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? 0xedb8_8320 ^ (value >> 1) : value >> 1 }
  }

  private static func checksum(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(UInt32.max) { ($0 >> 8) ^ table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] }
  }
}
