import Foundation
import GristCore
import GristFormat
import TestSupport
import Testing

@Suite("A .grist file with any one byte wrong, or any length missing, is never read as something else")
struct EveryByteTests {
  let folder = try! TemporaryFolder()

  /// Whether the file at `path` reads as what was written, or is refused with an error of ours. Anything else is wrong.
  private func isRefused(_ path: String) throws -> Bool {
    do {
      let found = try contents(ofFile: path)
      #expect(found == SmallFile.contents)
      return false
    } catch let error as GristError {
      #expect(error.code == .badData && error.file == path)
      return true
    }
  }

  @Test("every byte flipped", arguments: [0x01, 0x80] as [UInt8])
  func flips(mask: UInt8) throws {
    let bytes = SmallFile.bytes
    let path = try folder.write("flipped.grist", bytes)
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    defer { try? handle.close() }
    func put(_ byte: UInt8, at offset: Int) throws {
      try handle.seek(toOffset: UInt64(offset))
      try handle.write(contentsOf: Data([byte]))
    }
    // The zeros between header and first chunk are bytes alike: every 31st stands for them.
    let offsets =
      Array(0..<64) + (4096..<4160) + (8192..<8256) + stride(from: 64, to: 65_536, by: 31) + (65_536..<bytes.count)
    for offset in offsets {
      try put(bytes[offset] ^ mask, at: offset)
      // Every byte of the file is under a checksum or must be zero. In the slot that is not in use something that is no
      // slot is an addition that stopped half-way.
      #expect(try isRefused(path) == !(8192..<8256).contains(offset), "byte \(offset)")
      try put(bytes[offset], at: offset)
    }
    #expect(try !isRefused(path))
  }

  @Test("every length missing")
  func truncations() throws {
    let bytes = SmallFile.bytes
    let path = folder.file("short.grist")
    for length in Array(0..<256) + stride(from: 256, to: 65_536, by: 97) + (65_536..<bytes.count) {
      try Data(bytes[..<length]).write(to: URL(fileURLWithPath: path))
      #expect(try isRefused(path), "\(length) bytes")
    }
  }

  @Test("every byte of the index changed behind right checksums never crashes nor reads beyond a chunk")
  func sealedFlips() throws {
    let folder = try TemporaryFolder()
    for offset in Patch().manifestOffset..<SmallFile.bytes.count {
      for mask in [0x01, 0x10] as [UInt8] {
        var patch = Patch()
        patch.bytes[offset] ^= mask
        patch.sealIndex()
        let path = try folder.write("sealed.grist", patch.bytes)
        do {
          // What still opens may have other names and facts, but the payloads are the chunks'.
          let known = Set(SmallFile.contents.values)
          let file = try GristFile(path: path)
          for record in file.manifest.tensors {
            guard let payload = try? payload(of: record, in: file) else { continue }
            #expect(known.contains(payload), "byte \(offset), \(record.name)")
          }
        } catch let error as GristError {
          #expect(error.code == .badData, "byte \(offset)")
        }
      }
    }
  }
}
