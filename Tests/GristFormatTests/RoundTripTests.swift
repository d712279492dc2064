import GristCore
import GristFormat
import Synchronization
import TestSupport
import Testing

@Suite("What the writer writes, the reader reads") struct RoundTripTests {
  let folder = try! TemporaryFolder()

  @Test("a file with everything: contents, records, provenance")
  func everything() throws {
    let path = folder.file("small.grist")
    try SmallFile.write(to: path)
    #expect(try contents(ofFile: path) == SmallFile.contents)
    let file = try GristFile(path: path)
    #expect(file.manifest.provenance == provenance)
    #expect(file.chunkCount == 5 && file.byteCount == SmallFile.bytes.count)
    let b = try #require(file.tensor(named: "b"))
    #expect(b.shape == [3, 40] && b.origin.element == .f32 && b.relativeError == 0.25)
    #expect(b.scheme == .grouped(.init(codes: .int8, groupSize: 32, layout: .tile16, scaleExponent: -3)))
    #expect(file.tensor(named: "nothing") == nil)
    #expect(try file.sideFile(named: "nothing")?.count == nil)
    #expect(file.isRaw(chunk: 2) && !file.isRaw(chunk: 3))
    #expect(try file.payload(ofChunk: 3).array == SmallFile.p)
    #expect(folder.contents == ["small.grist"])
  }

  @Test("the same calls write the same bytes")
  func reproducible() throws {
    try SmallFile.write(to: folder.file("again.grist"))
    #expect(try readFile(folder.file("again.grist")).array == SmallFile.bytes)
  }

  /// Payloads that pack well: a narrow range of exponents.
  private static func payload(_ count: Int, packs: Bool) -> [UInt8] {
    (0..<count).map { index -> UInt8 in
      if packs && index % 2 == 1 { return 0x3c + UInt8(index / 2 % 2) }
      return UInt8(truncatingIfNeeded: index &* 151 &+ index / 256)
    }
  }

  /// An element type, and the codec it is packed with.
  typealias Kind = (element: ElementType?, codec: ChunkCodec)
  static let kinds: [Kind] = [
    (nil, .zstd), (.f16, .planes16), (.bf16, .planes16), (.f32, .planes32), (.f64, .zstd), (.i8, .zstd),
  ]

  @Test(
    "every codec and size", arguments: kinds,
    [1, 2, 3, 4, 6, 12, 1000, 4096, 65_537, 65_540, 1 << 20])
  func codecs(kind: Kind, size: Int) throws {
    for packs in [true, false] {
      let payload = Self.payload(size, packs: packs)
      let path = folder.file("x.grist")
      let writer = try GristWriter(path: path, provenance: provenance)
      writer.beginSegment("s")
      try writer.beginTensor(named: "t")
      let chunk = try PackedChunk(Bytes(payload), packing: .zstd, element: kind.element)
      #expect(chunk.codec == .raw || chunk.codec == kind.codec)
      #expect(chunk.codec != .raw || chunk.stored.count == size)
      // What repeats packs, if whole numbers of elements come.
      let width = kind.element.map { kind.codec == .zstd ? 1 : $0.byteCount } ?? 1
      if packs, size >= 4096, size % width == 0, kind.codec == .planes16 { #expect(chunk.codec == kind.codec) }
      try writer.append(chunk)
      writer.endTensor(SmallFile.tensor("t", [size], .plain(.u8)), unitsPerChunk: size)
      try writer.finish()
      #expect(try contents(ofFile: path) == ["t": payload])
    }
  }

  @Test("every 16-bit pattern survives its planes")
  func allHalves() throws {
    // Sorted patterns, so that the exponents pack.
    let payload: [UInt8] = (0..<65_536).flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] as [UInt8] }
    let chunk = try PackedChunk(Bytes(payload), packing: .zstd, element: .bf16)
    #expect(chunk.codec == .planes16)
    let path = folder.file("x.grist")
    let writer = try GristWriter(path: path, provenance: provenance)
    writer.beginSegment("s")
    try writer.beginTensor(named: "t")
    try writer.append(chunk)
    writer.endTensor(SmallFile.tensor("t", [65_536], .plain(.bf16)), unitsPerChunk: 65_536)
    try writer.finish()
    #expect(try contents(ofFile: path)["t"] == payload)
  }

  @Test("19.20: what packs so well that no reader would unpack it stays raw; within bounds zeros pack")
  func zeros() throws {
    let path = folder.file("x.grist")
    let sizes = [8 << 20, 48 << 20]
    let writer = try GristWriter(path: path, provenance: provenance)
    writer.beginSegment("s")
    for size in sizes {
      for (name, element) in [("a", nil), ("b", .bf16), ("c", .f32)] as [(String, ElementType?)] {
        let name = "\(name)\(size)"
        try writer.beginTensor(named: name)
        try writer.append(PackedChunk(AlignedBuffer(byteCount: size).bytes, packing: .zstd, element: element))
        writer.endTensor(SmallFile.tensor(name, [size], .plain(.u8)), unitsPerChunk: size)
      }
    }
    try writer.finish()
    let file = try GristFile(path: path)
    for chunk in 0..<6 {
      // Floats keep half of their bytes and more as they are, so they never shrink to nothing.
      #expect(file.isRaw(chunk: chunk) == (chunk == 3))
      #expect(try file.payload(ofChunk: chunk).isAllZero)
    }
  }

  @Test("raw packing stores everything in place")
  func raw() throws {
    let chunk = try PackedChunk(Bytes(Self.payload(4096, packs: true)), packing: .raw, element: .bf16)
    #expect(chunk.codec == .raw && chunk.stored.count == 4096 && chunk.payloadLength == 4096)
  }

  @Test("segments start on 64 KiB, chunks on 64 bytes; segments of nothing are left out")
  func alignment() throws {
    let path = folder.file("x.grist")
    let writer = try GristWriter(path: path, provenance: provenance)
    for name in ["empty", "one", "two", "last"] {
      writer.beginSegment(name)
      guard name == "one" || name == "two" else { continue }
      try writer.beginTensor(named: name)
      for _ in 0..<2 { try writer.append(PackedChunk(Bytes([1, 2, 3]), packing: .raw)) }
      writer.endTensor(SmallFile.tensor(name, [6], .plain(.u8)), unitsPerChunk: 3)
    }
    try writer.finish()
    let patch = Patch(try readFile(path).array)
    #expect((0..<4).map { patch.chunk($0, .offset) } == [65_536, 65_600, 131_072, 131_136])
    let file = try GristFile(path: path)
    #expect(file.manifest.segments.map(\.name) == ["one", "two"])
    #expect(file.manifest.segments.map(\.count) == [2, 2])
  }

  @Test("a file of nothing at all")
  func nothing() throws {
    let path = folder.file("x.grist")
    try GristWriter(path: path, provenance: provenance).finish()
    #expect(try contents(ofFile: path).isEmpty)
    #expect(try GristFile(path: path).chunkCount == 0)
  }

  @Test("side files of no bytes and of several chunks")
  func sideFiles() throws {
    let path = folder.file("x.grist")
    let large = (0..<(3 << 20) + 5).map { UInt8(truncatingIfNeeded: $0 >> 9) }
    let writer = try GristWriter(path: path, provenance: provenance)
    writer.beginSegment("files")
    try writer.add(file: "empty", Bytes(), sha256: "", packing: .zstd)
    try writer.add(file: "large", Bytes(large), sha256: "", packing: .zstd)
    try writer.finish()
    #expect(try contents(ofFile: path) == ["file empty": [], "file large": large])
    #expect(try GristFile(path: path).chunkCount == 4)
  }

  @Test("a tensor or a file that comes twice is refused when it is written")
  func twice() throws {
    let path = folder.file("x.grist")
    do {
      let writer = try GristWriter(path: path, provenance: provenance)
      writer.beginSegment("s")
      try writer.beginTensor(named: "t")
      writer.endTensor(SmallFile.tensor("t", [0], .plain(.u8)), unitsPerChunk: 1)
      let error = #expect(throws: GristError.self) { try writer.beginTensor(named: "t") }
      #expect(error?.tensor == "t")
      try writer.add(file: "f", Bytes([1]), sha256: "", packing: .raw)
      let other = #expect(throws: GristError.self) { try writer.add(file: "f", Bytes([1]), sha256: "", packing: .raw) }
      #expect(other?.what == "a file is there twice")
    }
    #expect(folder.contents == [])
  }

  @Test("a writer that is dropped leaves nothing")
  func dropped() throws {
    do {
      let writer = try GristWriter(path: folder.file("x.grist"), provenance: provenance)
      writer.beginSegment("s")
      try writer.beginTensor(named: "t")
      try writer.append(PackedChunk(Bytes([1]), packing: .raw))
    }
    #expect(folder.contents == [])
  }

  @Test("checksums are XXH3 as others compute it")
  func knownChecksums() {
    #expect(checksum(Bytes()) == 0x2d06_8005_38d3_94c2)
    #expect(checksum(Bytes(Array("abc".utf8))) == 0x78af_5f94_892f_3950)
    var fingerprint = StreamingFingerprint()
    fingerprint.update(Bytes(Array("ab".utf8)))
    fingerprint.update(Bytes(Array("c".utf8)))
    #expect(fingerprint.digits() == "06b05ab6733a618578af5f94892f3950")
  }

  @Test("whoever asks more of chunks is asked once of each, before its bytes are used")
  func asking() throws {
    let path = folder.file("small.grist")
    try SmallFile.write(to: path)
    let asked = Mutex<[Int]>([])
    let file = try GristFile(path: path).asking { chunk, stored in
      asked.withLock { $0.append(chunk) }
      if chunk == 2 { throw GristError(.badData, "no", found: "\(stored.count)") }
    }
    for _ in 0..<2 { #expect(try file.payload(ofChunk: 0).array == Array(SmallFile.a[..<30])) }
    for _ in 0..<2 { #expect(throws: GristError.self) { try file.payload(ofChunk: 2) } }
    // What was refused is asked of again.
    #expect(asked.withLock { $0 } == [0, 2, 2])
  }
}
