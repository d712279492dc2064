import GristCore
import GristFormat
import TestSupport
import Testing

@Suite("A .grist chunk table: each broken rule is refused by name") struct ChunkRuleTests {
  /// Changes one field of one entry and says what the reader says.
  private func refusal(_ index: Int, _ field: Patch.Field, _ value: (UInt64) -> UInt64) throws -> GristError {
    var patch = Patch()
    patch.setChunk(index, field, value(patch.chunk(index, field)))
    patch.sealIndex()
    let error = try patch.refusal()
    if error.what.hasPrefix("chunk \(index): ") {
      #expect(error.offset == UInt64(patch.tableOffset + 32 * index))
    }
    return error
  }

  @Test("unknown codec: what it belongs to cannot be used, all else can", arguments: [4, 254])
  func codec(_ codec: UInt64) throws {
    var patch = Patch()
    patch.setChunk(1, .codec, codec)
    patch.sealIndex()
    try patch.opened { file in
      let error = try #require(throws: GristError.self) { try file.payload(ofChunk: 1) }
      #expect(error.what == "chunk 1 is stored in a way this version does not know")
      #expect(error.code == .badData && error.tensor == "a" && error.found == "codec \(codec)")
      #expect(try file.payload(ofChunk: 2).array == SmallFile.b)
      for (chunk, tensor) in file.tensorOfEachChunk.enumerated() { try file.check(chunk: chunk, of: tensor) }
    }
  }

  @Test("reserved bytes of an entry that are not zero", arguments: [1 << 8, 1 << 31, UInt64(UInt32.max)])
  func reserved(_ codec: UInt64) throws {
    let error = try refusal(1, .codec) { _ in codec }
    #expect(error.what == "bytes that are reserved for later versions are not zero")
    #expect(error.offset == UInt64(Patch().tableOffset + 32 + 25))
  }

  @Test("bytes of an entry that are for others")
  func unused() throws {
    var patch = Patch()
    patch.setChunk(1, .codec, UInt64(UInt32.max) << 32)
    patch.sealIndex()
    #expect(try patch.opened { try $0.payload(ofChunk: 1).count } == 20)
  }

  @Test("a chunk in use that is free")
  func free() throws {
    let error = try refusal(1, .codec) { _ in 255 }
    #expect(error.what == "it names a chunk that is free" && error.tensor == "a" && error.found == "chunk 1")
  }

  @Test("a chunk that does not start where it must: misaligned, overlapping, with a gap, absurd")
  func offsets() throws {
    let changes: [(UInt64) -> UInt64] = [
      { $0 + 1 }, { $0 - 64 }, { $0 + 64 }, { _ in 0 }, { _ in 64 }, { _ in UInt64(Int64.max) }, { $0 + 65_536 },
    ]
    for change in changes {
      for index in 0..<5 {
        let error = try refusal(index, .offset, change)
        #expect(error.what.hasPrefix("chunk \(index): it does not start where it must, at "))
      }
    }
    let error = try refusal(0, .offset) { _ in .max }
    #expect(error.what == "chunk 0: the entry is cut off or its offset is absurd")
  }

  @Test("chunks out of order")
  func order() throws {
    var patch = Patch()
    let (first, second) = (patch.tableOffset, patch.tableOffset + 32)
    for index in 0..<32 { patch.bytes.swapAt(first + index, second + index) }
    patch.sealIndex()
    #expect(try patch.refusal().what == "chunk 0: it does not start where it must, at 65536")
  }

  @Test("a chunk beyond the data", arguments: [10_000, UInt64(UInt32.max)])
  func beyond(stored: UInt64) throws {
    #expect(try refusal(4, .stored) { _ in stored }.what == "chunk 4: it is empty or ends beyond the data")
  }

  @Test("a chunk of nothing")
  func empty() throws {
    #expect(try refusal(4, .stored) { _ in 0 }.what == "chunk 4: it is empty or ends beyond the data")
    #expect(try refusal(4, .payload) { _ in 0 }.what == "chunk 4: it is empty or ends beyond the data")
  }

  @Test("a raw chunk whose lengths differ")
  func rawLengths() throws {
    let error = try refusal(2, .payload) { $0 + 1 }
    #expect(error.what == "chunk 2: its lengths do not fit together")
    #expect(error.found == "704 bytes stored, 705 unpacked")
  }

  @Test("a chunk that says it unpacks to more than anything could")
  func bomb() throws {
    #expect(try refusal(4, .payload) { _ in .max }.what == "chunk 4: its lengths do not fit together")
  }

  @Test("a length that does not fit the tensor")
  func wrongLength() throws {
    let error = try refusal(3, .payload) { $0 + 2 }
    #expect(error.what == "chunk 3 does not hold what the shape asks for")
    #expect(error.tensor == "p")
    #expect(error.found == "2050 bytes instead of 2048")
  }

  @Test("bytes after the last chunk")
  func trailing() throws {
    var patch = Patch()
    patch.bytes.insert(contentsOf: [UInt8](repeating: 0, count: 64), at: patch.manifestOffset)
    patch.set(patch.slot + 16, UInt64(patch.manifestOffset + 64))
    patch.sealIndex()
    #expect(try patch.refusal().what == "bytes after the last chunk belong to none")
  }

  @Test("chunk checksum", arguments: [(0, "a"), (1, "a"), (2, "b"), (3, "p"), (4, "config.json")])
  func checksums(index: Int, owner: String) throws {
    var patch = Patch()
    let offset = patch.chunk(index, .offset)
    patch.bytes[Int(offset)] ^= 0x80
    let error = try patch.refusal()
    #expect(error.what == "the checksum of chunk \(index) does not fit")
    #expect(error.tensor == owner)
    #expect(error.offset == offset)
    #expect(error.found?.hasSuffix(String(patch.chunk(index, .checksum), radix: 16)) == true)
    #expect(try refusal(index, .checksum) { $0 ^ 1 }.what == "the checksum of chunk \(index) does not fit")
  }

  /// Changes the stored bytes of a packed chunk, its checksum made right again.
  private func unpacking(_ index: Int, _ change: (inout Patch, _ start: Int) -> Void) throws -> GristError {
    var patch = Patch()
    change(&patch, Int(patch.chunk(index, .offset)))
    patch.sealChunk(index)
    patch.sealIndex()
    let error = try patch.refusal()
    #expect(error.what == "a chunk does not unpack")
    #expect(error.offset == patch.chunk(index, .offset))
    return error
  }

  @Test("a truncated zstd frame")
  func truncatedFrame() throws {
    _ = try unpacking(4) { patch, start in
      let length = Int(patch.chunk(4, .stored))
      patch.bytes[start + length - 1] = 0
      patch.setChunk(4, .stored, UInt64(length - 1))
    }
  }

  @Test("bytes after the zstd frame, even an empty frame that zstd itself would skip")
  func afterTheFrame() throws {
    for extra in [[0], [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]] as [[UInt8]] {
      let error = try unpacking(4) { patch, start in
        let length = Int(patch.chunk(4, .stored))
        patch.bytes.replaceSubrange(start + length..<start + length + extra.count, with: extra)
        patch.setChunk(4, .stored, UInt64(length + extra.count))
      }
      #expect(error.found == "a frame that is cut off, or something after it")
    }
  }

  @Test("a frame that holds another length than declared")
  func frameLength() throws {
    var patch = Patch()
    patch.setChunk(4, .payload, UInt64(SmallFile.text.count + 1))
    try patch.replace("\"bytes\":\(SmallFile.text.count)", "\"bytes\":\(SmallFile.text.count + 1)")
    let error = try patch.refusal()
    #expect(error.what == "a chunk does not unpack")
    #expect(error.found == "a frame of another length")
    #expect(error.tensor == "config.json")
  }

  @Test("what is no zstd frame")
  func noFrame() throws {
    _ = try unpacking(4) { patch, start in patch.bytes[start] ^= 1 }
    _ = try unpacking(2) { patch, _ in patch.setChunk(2, .codec, 1) }
  }

  @Test("planes whose length lies", arguments: [0, 3, 1000, UInt64(UInt32.max)])
  func planes(length: UInt64) throws {
    let error = try unpacking(3) { patch, start in patch.set(start, length, width: 4) }
    #expect(error.found == "planes of another length")
    #expect(error.tensor == "p")
  }

  @Test("planes of the wrong width")
  func planeWidth() throws {
    _ = try unpacking(3) { patch, _ in patch.setChunk(3, .codec, 3) }
    _ = try unpacking(4) { patch, _ in patch.setChunk(4, .codec, 2) }
  }

  @Test("planes whose frame is damaged")
  func planeFrame() throws {
    _ = try unpacking(3) { patch, start in patch.bytes[start + 4] ^= 1 }
  }
}
