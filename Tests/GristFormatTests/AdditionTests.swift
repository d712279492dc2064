import Foundation
import GristCore
import GristFormat
import TestSupport
import Testing

@Suite("Adding a file to a .grist file in place") struct AdditionTests {
  let folder = try! TemporaryFolder()

  private func smallFile() throws -> String {
    let path = folder.file("x.grist")
    try SmallFile.write(to: path)
    return path
  }

  private func add(_ name: String, _ bytes: [UInt8], to path: String, sha256: String = "") throws {
    try Addition(to: GristFile(path: path)).finish(adding: name, Bytes(bytes), sha256: sha256, segment: "records")
  }

  private func checkAll(_ file: GristFile) throws {
    for (chunk, tensor) in file.tensorOfEachChunk.enumerated() { try file.check(chunk: chunk, of: tensor) }
  }

  @Test("added, then replaced: everything else stays, byte for byte, and costs nothing")
  func replacing() throws {
    let path = try smallFile()
    let old = try GristFile(path: path)
    try add("record", [1, 2, 3], to: path, sha256: "r1")
    #expect(try contents(ofFile: path) == SmallFile.contents.merging(["file record": [1, 2, 3]]) { a, _ in a })
    #expect(folder.contents == ["x.grist"])
    let bytes = try readFile(path).array
    // The header page of the second slot is all that was written to before the old end.
    #expect(bytes[..<8192] == SmallFile.bytes[..<8192])
    #expect(bytes[12_288..<SmallFile.bytes.count] == SmallFile.bytes[12_288...])
    // The value that was opened before goes on reading, and knows that nothing of it changed.
    #expect(try old.payload(ofChunk: 2).array == SmallFile.b)
    #expect(try old.sideFile(named: "record")?.count == nil)
    try old.requireUnchanged()

    let long = [UInt8](repeating: 7, count: 5000)
    try add("record", long, to: path, sha256: "r2")
    #expect(try contents(ofFile: path)["file record"] == long)
    let new = try GristFile(path: path)
    #expect(new.generation == 3 && !new.hasUnfinishedAddition && new.freeBytes > 0)
    #expect(new.manifest.files.map(\.name) == ["config.json", "record"])
    #expect(new.manifest.files.map(\.sha256) == ["cd", "r2"])
    #expect(new.manifest.tensors == old.manifest.tensors)
    #expect(new.manifest.segments.map(\.name) == ["one", "records", "records"])
    #expect(new.manifest.provenance == provenance)
    try checkAll(new)
  }

  @Test("a file in the middle is replaced, by one of no bytes, too")
  func middle() throws {
    let path = try smallFile()
    for text in ["{}", "", "[1]"] {
      try add("config.json", Array(text.utf8), to: path)
      var expected = SmallFile.contents
      expected["file config.json"] = Array(text.utf8)
      #expect(try contents(ofFile: path) == expected)
      try checkAll(GristFile(path: path))
    }
  }

  @Test("several chunks, and what a later version wrote into the manifest stays there")
  func laterMembers() throws {
    var patch = Patch()
    try patch.replace(#""segments":[{"#, #""later":{"a":[1.5]},"segments":[{"later":2,"#)
    let path = try folder.write("x.grist", patch.bytes)
    let long = (0..<3 << 20).map { UInt8(truncatingIfNeeded: $0 &* 151 &+ $0 / 256) }
    try add("long", long, to: path)
    #expect(try contents(ofFile: path)["file long"] == long)
    let manifest = Patch(try readFile(path).array).manifest
    #expect(manifest.contains(#""later":{"a":[1.5]},"segments":[{"later":2,"name":"one","first":0,"count":6}"#))
  }

  @Test("stopped at any byte, the file is what it was before or what it is after")
  func interrupted() throws {
    let path = try smallFile()
    try add("record", [1, 2, 3], to: path)
    let (before, after) = (SmallFile.bytes, try readFile(path).array)
    let stopped = folder.file("stopped.grist")
    // Everything behind the old end is flushed before the slot is written.
    for length in stride(from: before.count, through: after.count, by: 97) {
      try Data(before + after[before.count..<length]).write(to: URL(fileURLWithPath: stopped))
      #expect(try contents(ofFile: stopped) == SmallFile.contents)
    }
    for length in 0...64 {
      let bytes = after[..<8192] + after[8192..<8192 + length] + before[8192 + length..<12_288] + after[12_288...]
      try Data(bytes).write(to: URL(fileURLWithPath: stopped))
      let file = try GristFile(path: stopped)
      #expect(file.generation == (length == 64 ? 2 : 1) && file.hasUnfinishedAddition == (length < 64))
      // The next addition takes the place of what is left of it.
      if length % 16 == 3 {
        try add("other", [9], to: stopped)
        #expect(try contents(ofFile: stopped) == SmallFile.contents.merging(["file other": [9]]) { a, _ in a })
        #expect(try !GristFile(path: stopped).hasUnfinishedAddition)
      }
    }
  }

  @Test("what an addition that was not finished left goes before the next, whatever it is")
  func leftovers() throws {
    for rest in [1, 70_000, 300_000] {
      let path = try folder.write("x.grist", SmallFile.bytes + [UInt8](repeating: 7, count: rest))
      try add("record", [1, 2, 3], to: path)
      #expect(try contents(ofFile: path) == SmallFile.contents.merging(["file record": [1, 2, 3]]) { a, _ in a })
      let file = try GristFile(path: path)
      try checkAll(file)
      #expect(!file.hasUnfinishedAddition)
    }
  }

  @Test("nothing is written to a file that was changed since, is locked or protected, or holds nothing")
  func refused() throws {
    let path = try smallFile()
    let file = try GristFile(path: path)
    let first = try Addition(to: file)
    #expect(throws: GristError.self) { try Addition(to: file) }
    try first.finish(adding: "a", Bytes([1]), sha256: "", segment: "s")
    #expect(try #require(throws: GristError.self) { try Addition(to: file) }.code == .inputOutput)

    let protected = try folder.write("p.grist", SmallFile.bytes)
    try FileManager.default.setAttributes([.posixPermissions: 0o444], ofItemAtPath: protected)
    let error = try #require(throws: GristError.self) { try Addition(to: GristFile(path: protected)) }
    #expect(error.what == "the file is protected against writing" && error.code == .inputOutput)
    #expect(try readFile(protected).array == SmallFile.bytes)

    let empty = folder.file("empty.grist")
    try GristWriter(path: empty, provenance: provenance).finish()
    #expect(try #require(throws: GristError.self) { try Addition(to: GristFile(path: empty)) }.code == .badData)
  }

  @Test("an addition that is dropped leaves the file as it was")
  func dropped() throws {
    let path = try smallFile()
    do { _ = try Addition(to: GristFile(path: path)) }
    #expect(try readFile(path).array == SmallFile.bytes)
    #expect(folder.contents == ["x.grist"])
  }

  @Test("a file that another one was copied over is not taken for one that was added to")
  func overwritten() throws {
    let path = try smallFile()
    let file = try GristFile(path: path)
    var other = Patch()
    try other.replace(#""source_name":"a""#, #""source_name":"c""#)
    let copied = try folder.write("other.grist", other.bytes)
    try add("record", [1], to: copied)
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    // Its origin is the other's, if that was made by a writer; here the header is made anew.
    var bytes = try readFile(copied).array
    bytes[16] ^= 1
    var patch = Patch(bytes)
    patch.sealHeader()
    try handle.write(contentsOf: Data(patch.bytes))
    try handle.close()
    #expect(try #require(throws: GristError.self) { try file.requireUnchanged() }.code == .inputOutput)
  }
}
