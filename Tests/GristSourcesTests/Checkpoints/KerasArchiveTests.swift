import GristCore
import GristSources
import TestSupport
import Testing

/// Archives that Keras does not write. The good one is real: Tools/reference/write_keras_hub.py.
@Suite("Keras's archive, and what is no such thing") struct KerasArchiveTests {
  private static func archive() throws -> [UInt8] {
    try readFile(Fixtures.path("keras-hub/encoder.keras")).array
  }

  /// Where the archive's directory of three members begins, and its end record.
  private static func places(_ bytes: [UInt8]) -> (directory: Int, end: Int) {
    let end = bytes.count - 22
    return (Int(bytes[end + 16]) | Int(bytes[end + 17]) << 8 | Int(bytes[end + 18]) << 16, end)
  }

  private func open(_ bytes: [UInt8]) throws {
    let folder = try TemporaryFolder()
    _ = try Checkpoint(path: folder.write("model.keras", bytes))
  }

  @Test("the real one opens") func sound() throws { try open(Self.archive()) }

  static let faults: [(name: String, says: String, change: @Sendable (inout [UInt8], Int, Int) -> Void)] = [
    ("empty", "no zip archive", { bytes, _, _ in bytes = [] }),
    ("cut short", "no zip archive", { bytes, _, _ in bytes.removeLast() }),
    (
      "its beginning missing", "is not where it should be",
      { bytes, _, _ in
        bytes.removeFirst(8)
        bytes += []
      }
    ),
    ("in several parts", "in several parts", { bytes, _, end in bytes[end + 4] = 1 }),
    ("a directory elsewhere", "is not where it should be", { bytes, _, end in bytes[end + 16] ^= 1 }),
    (
      "more members than entries", "lacks an entry",
      { bytes, _, end in
        bytes[end + 10] = 4
        bytes[end + 8] = 4
      }
    ),
    (
      "fewer members than entries", "another length",
      { bytes, _, end in
        bytes[end + 10] = 2
        bytes[end + 8] = 2
      }
    ),
    ("encrypted", "encrypted", { bytes, directory, _ in bytes[directory + 8] |= 1 }),
    ("packed", "packed", { bytes, directory, _ in bytes[directory + 10] = 8 }),
    (
      "a link", "a link",
      { bytes, directory, _ in
        bytes[directory + 5] = 3
        bytes[directory + 41] = 0xA1
      }
    ),
    ("a bomb's sizes", "two sizes", { bytes, directory, _ in bytes[directory + 20] ^= 1 }),
    ("a size beyond the archive", "longer than the archive", { bytes, directory, _ in bytes[directory + 27] = 0x7f }),
    (
      "an offset beyond it", "not where the archive's directory says",
      { bytes, directory, _ in bytes[directory + 45] = 0x7f }
    ),
    (
      "a way out", "a member's name makes no sense",
      { bytes, directory, _ in bytes.replaceSubrange(directory + 46..<directory + 49, with: [46, 46, 47]) }
    ),
    ("an absolute name", "a member's name makes no sense", { bytes, directory, _ in bytes[directory + 46] = 47 }),
    ("another name in the header", "not where the archive's directory says", { bytes, directory, _ in bytes[30] ^= 1 }),
    ("a damaged member", "its checksum is another", { bytes, directory, _ in bytes[directory - 1] ^= 1 }),
  ]

  @Test("is refused by a sentence with the place", arguments: faults.indices)
  func refused(index: Int) throws {
    let fault = Self.faults[index]
    var bytes = try Self.archive()
    let (directory, end) = Self.places(bytes)
    fault.change(&bytes, directory, end)
    let error = try #require(throws: GristError.self) { try open(bytes) }
    #expect(error.code == .badData && "\(error)".contains(fault.says), "\(fault.name): \(error)")
    #expect(error.offset != nil && error.advice != nil, "\(fault.name): \(error)")
  }

  @Test("every cut and every flipped bit of its directory is refused, or changes nothing")
  func mutations() throws {
    let sound = try Self.archive()
    let (directory, _) = Self.places(sound)
    let folder = try TemporaryFolder()
    let original = try Checkpoint(path: folder.write("model.keras", sound)).fingerprint()
    for byte in directory..<sound.count {
      for bit in [0, 3, 7] {
        var bytes = sound
        bytes[byte] ^= 1 << bit
        do {
          #expect(try Checkpoint(path: folder.write("model.keras", bytes)).fingerprint() == original, "byte \(byte)")
        } catch let error as GristError {
          #expect([.badData, .missingInput].contains(error.code), "\(error)")
        }
      }
    }
    for length in stride(from: 0, to: sound.count, by: 4096) {
      #expect(throws: GristError.self) { try open(Array(sound.prefix(length))) }
    }
  }

  @Test("a folder with two archives asks which; one without weights says so")
  func folders() throws {
    let folder = try TemporaryFolder()
    for name in ["a.keras", "b.keras"] { _ = try folder.copy(Fixtures.path("keras-hub/encoder.keras"), to: name) }
    let error = try #require(throws: GristError.self) { _ = try Checkpoint(path: folder.path) }
    #expect(error.code == .missingInput && error.found == "a.keras, b.keras")
    _ = try Checkpoint(path: folder.file("a.keras"))
  }
}
