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

  @Test("a header that is cut off", arguments: [8, 11, 55, 56, 63])
  func tooShort(length: Int) throws {
    let error = try Patch(Array(SmallFile.bytes[..<length])).refusal()
    #expect(error.what == "too short for a .grist header")
    #expect(error.found == "\(length) bytes")
  }

  @Test("a header whose slots are cut off", arguments: [64, 4096, 8192, 12_287])
  func noSlots(length: Int) throws {
    #expect(try Patch(Array(SmallFile.bytes[..<length])).refusal().what == "the file is cut short")
  }

  @Test("a file of version 0 is to be converted again")
  func versionZero() throws {
    var patch = Patch()
    patch.set(8, 0, width: 4)
    #expect(try patch.refusal().advice == "convert the checkpoint again")
  }

  @Test("version", arguments: [2, 7, UInt64(UInt32.max)])
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

  @Test("header checksum", arguments: [12, 16, 24, 55, 56, 63, 4096, 4104, 4136, 4144, 4152, 4159])
  func headerChecksum(at offset: Int) throws {
    var patch = Patch()
    patch.bytes[offset] ^= 0x10
    let error = try patch.refusal()
    #expect(error.what == "the header's checksum does not fit")
    #expect(error.offset == (offset < 64 ? 56 : 4096))
  }

  @Test("reserved bytes that are not zero, behind right checksums", arguments: [12, 15, 4132, 4135])
  func reserved(at offset: Int) throws {
    var patch = Patch()
    patch.bytes[offset] = 1
    patch.sealHeader()
    let error = try patch.refusal()
    #expect(error.what == "bytes that are reserved for later versions are not zero")
    #expect(error.offset == (offset < 64 ? 12 : 4132))
    #expect(error.advice == "use a newer gristmill")
  }

  @Test("bytes that a reader may pass over", arguments: [16, 24, 55, 4136, 4143])
  func unused(at offset: Int) throws {
    var patch = Patch()
    patch.bytes[offset] = 1
    patch.sealHeader()
    #expect(try patch.opened { $0.chunkCount } == 5)
  }

  @Test("a file cut short", arguments: [1, 100, 50_000])
  func cutShort(by count: Int) throws {
    let bytes = SmallFile.bytes
    let error = try Patch(bytes.dropLast(count)).refusal()
    #expect(error.what == "the file is cut short")
    #expect(error.offset == 4104)
    #expect(error.found == "\(bytes.count - count) bytes instead of \(bytes.count)")
  }

  @Test("what lies behind the end is an addition that was not finished")
  func goesOn() throws {
    for rest in [[0], [UInt8](repeating: 7, count: 70_000)] as [[UInt8]] {
      #expect(
        try Patch(SmallFile.bytes + rest).opened { $0.hasUnfinishedAddition && $0.byteCount == SmallFile.bytes.count })
    }
    #expect(try !Patch().opened { $0.hasUnfinishedAddition })
  }

  @Test("a declared length of everything")
  func absurdLength() throws {
    var patch = Patch()
    patch.set(4104, .max)
    patch.sealHeader()
    #expect(try patch.refusal().what == "the file is cut short")
  }

  static let places: [(Int, Int, UInt64)] = [
    (16, 8, 0), (16, 8, 1), (16, 8, 1 << 40), (16, 8, .max), (16, 8, UInt64(Int64.max)), (24, 8, 1 << 40),
    (24, 8, .max), (24, 8, UInt64(Int64.max)), (24, 8, 0), (32, 4, 0), (32, 4, 4), (32, 4, 6),
    (32, 4, UInt64(UInt32.max)),
  ]

  @Test("manifest or chunk table out of range", arguments: places)
  func outOfRange(offset: Int, width: Int, value: UInt64) throws {
    var patch = Patch()
    patch.set(4096 + offset, value, width: width)
    patch.sealHeader()
    let error = try patch.refusal()
    #expect(error.what == "the header points outside the file")
    #expect(error.offset == 4112)
  }

  @Test("a manifest that does not start on 64 bytes")
  func misalignedManifest() throws {
    var patch = Patch()
    patch.set(4112, UInt64(patch.manifestOffset + 8))
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

  @Test(
    "padding of the header, and before the first chunk, not zero", arguments: [64, 4095, 4160, 8256, 12_288, 65_535])
  func firstPadding(offset: Int) throws {
    var patch = Patch()
    patch.bytes[offset] = 1
    let error = try patch.refusal()
    #expect(error.what == "padding that must be zero is not")
    let starts: [UInt64] = [64, 4160, 8256, 12_288]
    #expect(error.offset == starts.last { $0 <= offset })
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
