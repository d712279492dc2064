import GristCore
import GristFormat
import TestSupport
import Testing

@Suite("A .grist header: each broken rule is refused by name") struct HeaderRuleTests {
  @Test("magic", arguments: [0, 4, 5, 6, 7])
  func magic(at offset: Int) throws {
    var patch = Patch()
    patch.bytes[offset] ^= 1
    patch.sealHeader()
    let error = try patch.refusal()
    #expect(error.what == "not a .grist file: it does not start with the format's magic bytes")
    #expect(error.offset == 0)
  }

  @Test("an empty file, or a few bytes of one", arguments: [0, 1, 7])
  func noMagic(length: Int) throws {
    let error = try Patch(Array(SmallFile.bytes[..<length])).refusal()
    #expect(error.what == "not a .grist file: it does not start with the format's magic bytes")
  }

  @Test("a header that is cut off", arguments: [8, 11, 12, 55, 56, 63])
  func tooShort(length: Int) throws {
    let error = try Patch(Array(SmallFile.bytes[..<length])).refusal()
    #expect(error.what == "too short for a .grist header")
    #expect(error.found == "\(length) bytes")
  }

  @Test("version", arguments: [1, 7, UInt64(UInt32.max)])
  func version(_ version: UInt64) throws {
    var patch = Patch()
    patch.set(8, version, width: 4)
    patch.sealHeader()
    let error = try patch.refusal()
    #expect(error.what == "a .grist version this program does not read")
    #expect(error.offset == 8)
    #expect(error.found == "version \(version)")
    #expect(error.advice == "use a newer gristmill")
  }

  @Test("header checksum", arguments: [12, 16, 24, 32, 40, 48, 56, 63])
  func headerChecksum(at offset: Int) throws {
    var patch = Patch()
    patch.bytes[offset] ^= 0x10
    let error = try patch.refusal()
    #expect(error.what == "the header's checksum does not fit")
    #expect(error.offset == 56)
  }

  @Test("a file cut short", arguments: [1, 100, 60_000])
  func cutShort(by count: Int) throws {
    let bytes = SmallFile.bytes
    let error = try Patch(bytes.dropLast(count)).refusal()
    #expect(error.what == "the file is cut short")
    #expect(error.offset == 16)
    #expect(error.found == "\(bytes.count - count) bytes instead of \(bytes.count)")
  }

  @Test("a file that goes on")
  func tooLong() throws {
    let error = try Patch(SmallFile.bytes + [0]).refusal()
    #expect(error.what == "the file is too long")
    #expect(error.offset == 16)
  }

  @Test("a declared length of everything")
  func absurdLength() throws {
    var patch = Patch()
    patch.set(16, .max)
    patch.sealHeader()
    #expect(try patch.refusal().what == "the file is cut short")
  }

  static let places: [(Int, Int, UInt64)] = [
    (24, 8, 0), (24, 8, 1), (24, 8, 1 << 40), (24, 8, .max), (24, 8, UInt64(Int64.max)), (32, 8, 1 << 40),
    (32, 8, .max), (32, 8, UInt64(Int64.max)), (32, 8, 0), (40, 8, 0), (40, 8, 1 << 40), (40, 8, .max), (12, 4, 0),
    (12, 4, 4), (12, 4, 6), (12, 4, UInt64(UInt32.max)),
  ]

  @Test("manifest or chunk table out of range", arguments: places)
  func outOfRange(offset: Int, width: Int, value: UInt64) throws {
    var patch = Patch()
    patch.set(offset, value, width: width)
    patch.sealHeader()
    let error = try patch.refusal()
    #expect(error.what == "the header points outside the file")
    #expect(error.offset == 24)
  }

  @Test("a manifest that does not start on 64 bytes")
  func misalignedManifest() throws {
    var patch = Patch()
    patch.set(24, UInt64(patch.manifestOffset + 8))
    patch.sealHeader()
    #expect(try patch.refusal().what == "the header points outside the file")
  }

  @Test("index checksum, in manifest, padding and table")
  func indexChecksum() throws {
    for offset in [
      Patch().manifestOffset, Patch().manifestOffset + Patch().manifestLength - 1, SmallFile.bytes.count - 1,
    ] {
      var patch = Patch()
      patch.bytes[offset] ^= 1
      patch.sealHeader()
      let error = try patch.refusal()
      #expect(error.what == "the index's checksum does not fit")
      #expect(error.offset == UInt64(patch.manifestOffset))
    }
  }

  @Test("padding of the index not zero")
  func indexPadding() throws {
    var patch = Patch()
    // A space more makes sure that there is padding.
    patch.setManifest(patch.manifest + (patch.manifestLength % 64 == 0 ? " " : ""))
    let end = patch.manifestOffset + patch.manifestLength
    try #require(end < patch.tableOffset)
    patch.bytes[patch.tableOffset - 1] = 1
    patch.sealIndex()
    let error = try patch.refusal()
    #expect(error.what == "padding that must be zero is not")
    #expect(error.offset == UInt64(end))
  }

  @Test("padding before the first chunk not zero", arguments: [64, 65_535])
  func firstPadding(offset: Int) throws {
    var patch = Patch()
    patch.bytes[offset] = 1
    let error = try patch.refusal()
    #expect(error.what == "padding that must be zero is not")
    #expect(error.offset == 64)
  }

  @Test("padding after a chunk not zero", arguments: [0, 1, 4])
  func chunkPadding(index: Int) throws {
    var patch = Patch()
    let end = Int(patch.chunk(index, .offset) + patch.chunk(index, .stored))
    try #require(end % 64 != 0)
    patch.bytes[end / 64 * 64 + 63] = 1
    let error = try patch.refusal()
    #expect(error.what == "padding that must be zero is not")
    #expect(error.offset == UInt64(end))
  }

  @Test("a missing file is 66, a folder 65")
  func missing() throws {
    let folder = try TemporaryFolder()
    let error = #expect(throws: GristError.self) { _ = try GristFile(path: folder.file("x.grist")) }
    #expect(error?.code == .missingInput)
    let other = #expect(throws: GristError.self) { _ = try GristFile(path: folder.path) }
    #expect(other?.code == .badData)
  }
}
