import Foundation
import GristCore
import TestSupport
import Testing

@Suite("Files that appear complete or not at all") struct AtomicFileTests {
  let folder = try! TemporaryFolder()

  private func append(_ text: String, to file: AtomicFile) throws {
    try Array(text.utf8).withUnsafeBytes { try file.append($0) }
  }

  @Test("nothing is there to find before the commit")
  func invisible() throws {
    let file = try AtomicFile(path: folder.file("out"))
    try append("hello", to: file)
    #expect(!folder.contents.contains("out"))
    try file.commit()
    #expect(folder.contents == ["out"])
    #expect(try readFile(folder.file("out")).utf8 == "hello")
  }

  @Test("dropped without a commit, it leaves nothing behind, hidden files included")
  func dropped() throws {
    do {
      let file = try AtomicFile(path: folder.file("out"))
      try append("hello", to: file)
    }
    #expect(folder.contents == [])
  }

  @Test("dropped, it leaves what was at the destination")
  func keepsOld() throws {
    try folder.write("out", [1, 2, 3])
    do {
      let file = try AtomicFile(path: folder.file("out"))
      try append("hello", to: file)
      file.discard()
      file.discard()
    }
    #expect(folder.contents == ["out"])
    #expect(try readFile(folder.file("out")).array == [1, 2, 3])
  }

  @Test("a commit replaces what was there in one step: a reader of the old file goes on reading the old bytes")
  func replaces() throws {
    try folder.write("out", Array("old".utf8))
    let reader = try MappedFile(path: folder.file("out"))
    let file = try AtomicFile(path: folder.file("out"))
    try append("new!", to: file)
    #expect(try readFile(folder.file("out")).utf8 == "old")
    try file.commit()
    #expect(reader.bytes.utf8 == "old")
    #expect(try readFile(folder.file("out")).utf8 == "new!")
    #expect(folder.contents == ["out"])
  }

  @Test("a discard after the commit changes nothing")
  func discardAfterCommit() throws {
    let file = try AtomicFile(path: folder.file("out"))
    try append("x", to: file)
    try file.commit()
    file.discard()
    #expect(folder.contents == ["out"])
  }

  @Test("padding, overwriting and counting")
  func contents() throws {
    let file = try AtomicFile(path: folder.file("out"))
    try append("abc", to: file)
    try file.pad(toMultipleOf: 8)
    try file.pad(toMultipleOf: 8)
    try append("d", to: file)
    try Array("XY".utf8).withUnsafeBytes { try file.overwrite($0, at: 1) }
    #expect(file.count == 9)
    try file.commit()
    #expect(try readFile(folder.file("out")).array == Array("aXY".utf8) + [0, 0, 0, 0, 0] + Array("d".utf8))
  }

  @Test("a folder that is not there is 74, and names the output")
  func noFolder() {
    let path = folder.file("missing/out")
    let error = #expect(throws: GristError.self) { _ = try AtomicFile(path: path) }
    #expect(error?.code == .inputOutput)
    #expect(
      error?.description
        == "\(path): cannot create the output: there is no folder \(folder.file("missing")); create it first, or name another"
    )
    #expect(folder.contents == [])
  }

  @Test("a file where a folder should be is 74")
  func fileAsFolder() throws {
    try folder.write("file", [1])
    let error = #expect(throws: GristError.self) { _ = try AtomicFile(path: folder.file("file/out")) }
    #expect(error?.code == .inputOutput)
    #expect(folder.contents == ["file"])
  }

  @Test("a folder as destination is 64")
  func folderAsDestination() {
    let error = #expect(throws: GristError.self) { _ = try AtomicFile(path: folder.path) }
    #expect(error?.code == .usage)
    #expect(error?.what == "the output is a folder")
  }

  @Test("a device or pipe as destination is 64: it would be replaced by a file")
  func deviceAsDestination() throws {
    let pipe = folder.file("pipe")
    #expect(mkfifo(pipe, 0o600) == 0)
    let error = #expect(throws: GristError.self) { _ = try AtomicFile(path: pipe) }
    #expect(error?.code == .usage)
    #expect(error?.what == "the output is not a plain file")
    #expect(folder.contents == ["pipe"])
  }

  @Test("a name too long for the file system fails before anything is written")
  func nameTooLong() {
    let error = #expect(throws: GristError.self) {
      _ = try AtomicFile(path: folder.file(String(repeating: "n", count: 300)))
    }
    #expect(error?.code == .inputOutput)
    #expect(folder.contents == [])
  }

  @Test("the longest name the file system allows can be written")
  func longestName() throws {
    let name = String(repeating: "n", count: 255)
    try writeFile(folder.file(name), Bytes([7]))
    #expect(folder.contents == [name])
  }

  @Test("no name is 64")
  func emptyName() {
    let error = #expect(throws: GristError.self) { _ = try AtomicFile(path: "") }
    #expect(error?.code == .usage)
  }

  @Test("writeFile writes all of it")
  func whole() throws {
    try writeFile(folder.file("out"), Bytes([1, 2, 3]))
    try writeFile(folder.file("empty"), Bytes())
    #expect(folder.contents == ["empty", "out"])
    #expect(try readFile(folder.file("empty")).count == 0)
  }
}

@Suite("Mapped files") struct MappedFileTests {
  let folder = try! TemporaryFolder()

  private func error(_ path: String) -> GristError? {
    #expect(throws: GristError.self) { _ = try MappedFile(path: path) }
  }

  @Test("a file that is not there is 66")
  func missing() {
    let path = folder.file("nothing")
    #expect(error(path)?.code == .missingInput)
    #expect(error(path)?.description == "\(path): no such file")
    #expect(error(path + "/deeper")?.code == .missingInput)
  }

  @Test("a path through a file is 66")
  func throughAFile() throws {
    try folder.write("file", [1])
    #expect(error(folder.file("file/x"))?.code == .missingInput)
  }

  @Test("a folder is 65")
  func folderAsFile() {
    #expect(error(folder.path)?.code == .badData)
    #expect(error(folder.path)?.what == "not a plain file")
  }

  @Test("a device is 65")
  func device() {
    #expect(error("/dev/null")?.code == .badData)
  }

  @Test("an empty file has no bytes")
  func empty() throws {
    try folder.write("empty", [])
    #expect(try MappedFile(path: folder.file("empty")).bytes.count == 0)
  }

  @Test("advice outside the file is ignored, and dropped pages read the same again")
  func advice() throws {
    let contents = (0..<20_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    try folder.write("file", contents)
    let file = try MappedFile(path: folder.file("file"))
    for (offset, count) in [(-1, 10), (0, -1), (0, 0), (30_000, 1), (19_999, 2), (Int.max, Int.max), (1, Int.max)] {
      file.advise(.dontNeed, offset: offset, count: count)
      file.advise(.willNeed, offset: offset, count: count)
      file.advise(.readWhole, offset: offset, count: count)
    }
    file.advise(.dontNeed, offset: 100, count: 19_900)
    file.advise(.willNeed, offset: 5000, count: 10)
    file.advise(.readWhole, offset: 5000, count: 10)
    #expect(file.bytes.array == contents)
  }

  @Test("bytes outlive the file's last reference")
  func lifetime() throws {
    try folder.write("file", [9, 8, 7])
    let bytes = try MappedFile(path: folder.file("file")).bytes
    #expect(bytes.array == [9, 8, 7])
  }

  @Test("a file over the limit is 65")
  func limit() throws {
    try folder.write("file", [1, 2, 3])
    let error = #expect(throws: GristError.self) { _ = try readFile(folder.file("file"), limit: 2) }
    #expect(error?.code == .badData)
    #expect(error?.found == "3 bytes")
  }
}

@Suite("Paths and folders") struct PathTests {
  @Test("parts of a path")
  func parts() {
    #expect(joinPath("a", "b") == "a/b" && joinPath("a/", "b") == "a/b")
    #expect(folderName(of: "a/b") == "a" && folderName(of: "b") == "." && folderName(of: "/b") == "/")
    #expect(fileName(of: "a/b") == "b" && fileName(of: "b") == "b" && fileName(of: "/b") == "b")
  }

  @Test("a folder's contents are sorted, hidden files included; a missing folder is 66")
  func contents() throws {
    let folder = try TemporaryFolder()
    for name in ["b", ".a", "c"] { try folder.write(name, []) }
    #expect(try folderContents(folder.path) == [".a", "b", "c"])
    let error = #expect(throws: GristError.self) { _ = try folderContents(folder.file("x")) }
    #expect(error?.code == .missingInput)
    #expect(fileKind(at: folder.path) == .folder && fileKind(at: folder.file("b")) == .file)
    #expect(fileKind(at: folder.file("x")) == nil && fileKind(at: "/dev/null") == .other)
  }

  @Test("an error tells the whole story in one sentence")
  func story() {
    let error = GristError(
      .badData, "it broke", file: "a.grist", tensor: "w", offset: 12, found: "3", advice: "mend it")
    #expect(error.description == "a.grist: it broke (tensor w, byte 12): found 3; mend it")
    #expect(error.located(file: "b", tensor: "v", offset: 1) == error)
    #expect(GristError(.usage, "no").located(file: "b").description == "b: no")
  }
}
