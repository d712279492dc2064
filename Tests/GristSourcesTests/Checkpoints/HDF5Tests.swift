import Foundation
import GristCore
import GristSources
import TestSupport
import Testing

/// What h5py wrote, and what it reads back: Tools/reference/write_hdf5.py.
@Suite struct HDF5Tests {
  @Test("an optimizer's state is left out, and its size told")
  func optimizer() throws {
    let checkpoint = try Checkpoint(path: Fixtures.path("hdf5/optimizer.h5"))
    #expect(checkpoint.tensors.map(\.name) == ["model_weights/dense/kernel:0"])
    #expect(checkpoint.notes.contains("2 tensors of the optimizer's state are left out, 48 bytes"))
  }

  @Test("every type, layout, filter and byte order reads as h5py reads it")
  func product() throws {
    let expected = try #require(Fixtures.json("hdf5/expected.json").object)
    let file = try HDF5File(path: Fixtures.path("hdf5/product.h5"), helper: nil)
    #expect(file.tensors.count == expected.members.count && file.tensors.count > 200)
    for tensor in file.tensors {
      let wanted = try #require(expected[tensor.name]?.object, "\(tensor.name)")
      #expect(tensor.elementType.rawValue == wanted["type"]?.string, "\(tensor.name)")
      #expect(tensor.shape == wanted["shape"]?.integers, "\(tensor.name)")
      #expect(sha256(try tensor.bytes()) == wanted["sha256"]?.string, "\(tensor.name)")
    }
  }

  @Test(
    "any range of bytes is the same range of the whole", arguments: ["f32/big/chunked/all", "i8/little/contiguous"])
  func ranges(name: String) throws {
    let file = try HDF5File(path: Fixtures.path("hdf5/product.h5"), helper: nil)
    let tensor = try #require(file.tensors.first { $0.name == name })
    let whole = try tensor.bytes().array
    for start in stride(from: 0, to: whole.count, by: 13) {
      for end in stride(from: start, through: whole.count, by: 29) {
        #expect(try tensor.bytes(start..<end).array == Array(whole[start..<end]))
      }
    }
  }

  /// Values of a dataset whose values are their places; requests of `piece` bytes, from both ends in turn.
  private func places(_ name: String, piece: Int) throws {
    let file = try HDF5File(path: Fixtures.path("hdf5/chunks.h5"), helper: nil)
    let tensor = try #require(file.tensors.first { $0.name == name })
    var starts = Array(stride(from: 0, to: tensor.byteCount, by: piece))[...]
    var isFirst = true
    while let start = isFirst ? starts.popFirst() : starts.popLast() {
      isFirst.toggle()
      let bytes = try tensor.bytes(start..<min(start + piece, tensor.byteCount))
      for offset in stride(from: 0, to: bytes.count - 3, by: 4) where (start + offset) % 4 == 0 {
        let value = Float(bitPattern: try #require(bytes.integer(at: offset, as: UInt32.self)))
        #expect(value == Float((start + offset) / 4))
      }
    }
  }

  @Test("19.12: chunks of a few bytes, whatever is asked for", arguments: [64, 1000, 1 << 20])
  func smallChunks(piece: Int) throws { try places("small", piece: piece) }

  @Test("19.12: chunks from end to end, and chunks that fill nothing", arguments: ["column", "cut"], [1000, 1 << 20])
  func longChunks(name: String, piece: Int) throws { try places(name, piece: piece) }

  static let refusals: [(name: String, sentence: String)] = [
    ("soft-link", "a soft link"), ("external-link", "an external link"), ("virtual", "a virtual dataset"),
    ("external-storage", "in another file"), ("lzf", "lzf (32000)"), ("scale-offset", "scaleoffset (6)"),
    ("compound", "a compound type"), ("complex", "a compound type"), ("text", "text"), ("fixed-text", "text"),
    ("opaque", "an opaque type"), ("array-type", "an array type"), ("enumeration", "an enumeration"),
    ("variable-length", "variable length"), ("reference", "references"), ("null", "without a value"),
    ("never-written", "never written"), ("partly-written", "1 of 4 chunks"),
    ("misplaced-chunk", "not where it should be"), ("cycle", "contains itself"),
    ("chunk-too-long", "chunks longer than the dataset: found 5 of 4"),
    ("listed-layer-missing", "a layer that the file lists is not there: found gone"),
    ("listed-layer-missing-in-parts", "a layer that the file lists is not there: found gone"),
    ("listed-variable-missing", "not there: found dense/bias:0"), ("listed-numbers", "no names"),
    ("deep", "too deep"), ("aliases", "more than the file can store"),
  ]

  @Test("what could lead elsewhere, run code or fill the memory is refused by name", arguments: refusals)
  func refused(name: String, sentence: String) throws {
    let path = Fixtures.path("hdf5/refused/\(name).h5")
    let error = try #require(throws: GristError.self) { _ = try HDF5File(path: path, helper: nil) }
    #expect(error.code == .badData && error.file == path && error.tensor != nil)
    let text = "\(error)".replacing(" (tensor \(error.tensor ?? ""))", with: "")
    #expect(text.contains(sentence), "\(error)")
  }

  @Test("every refusal that h5py wrote is on the list")
  func refusalsAreListed() throws {
    let files = try folderContents(Fixtures.path("hdf5/refused"))
    #expect(files == Self.refusals.map { $0.name + ".h5" }.sorted())
  }

  @Test("a checkpoint dumped by h5py is the checkpoint it was dumped from")
  func dumped() throws {
    let original = Fixtures.path("checkpoints/crop")
    let folder = try TemporaryFolder()
    try folder.write("config.json", readFile(original + "/config.json").array)
    _ = try folder.copy(Fixtures.path("hdf5/flat.h5"), to: "model.h5")
    let checkpoint = try Checkpoint(path: folder.path)
    #expect(try checkpoint.fingerprint() == Checkpoint(path: original).fingerprint())
    #expect(checkpoint.notes.contains { $0.contains("libhdf5") && $0.contains("process of its own") })
    _ = try folder.copy(Fixtures.path("hdf5/flat.h5"), to: "other.h5")
    let error = try #require(throws: GristError.self) { _ = try Checkpoint(path: folder.path) }
    #expect(error.code == .missingInput && "\(error)".contains("model.h5, other.h5"))
  }

  @Test("a helper that is not there or dies is said in a sentence")
  func helpers() throws {
    let path = Fixtures.path("hdf5/flat.h5")
    let missing = try #require(throws: GristError.self) { _ = try HDF5File(path: path, helper: "/nowhere/helper") }
    #expect(missing.code == .missingInput && "\(missing)".contains("/nowhere/helper"))
    let dead = try #require(throws: GristError.self) { _ = try HDF5File(path: path, helper: "/bin/true") }
    #expect(dead.code == .badData && dead.file == path)
    let absent = try #require(throws: GristError.self) { _ = try HDF5File(path: "/nowhere/model.h5", helper: nil) }
    #expect(absent.code == .missingInput)
  }

  @Test("a damaged file ends in a sentence or reads as something, and never takes the program along")
  func damage() throws {
    let whole = try readFile(Fixtures.path("hdf5/flat.h5")).array
    let folder = try TemporaryFolder()
    var random = SplitMix(state: 14)
    var refused = 0
    for round in 0..<60 {
      var bytes = whole
      if round % 3 == 0 {
        bytes.removeLast(Int(random.next() % UInt64(bytes.count - 1)))
      } else {
        // The file's beginning, where metadata are, or anywhere.
        let reach = round % 3 == 1 ? 2048 : UInt64(bytes.count)
        for _ in 0..<16 { bytes[Int(random.next() % reach)] ^= UInt8(truncatingIfNeeded: 1 << (random.next() % 8)) }
      }
      let path = try folder.write("damaged.h5", bytes)
      do {
        for tensor in try HDF5File(path: path, helper: nil).tensors { _ = try tensor.bytes() }
      } catch let error as GristError {
        refused += 1
        #expect(error.code == .badData && error.file == path, "\(error)")
      }
    }
    #expect(refused > 30)
  }

  @Test("files that crashed libhdf5 cannot crash the program", arguments: try hostileFiles())
  func hostile(path: String) throws {
    do {
      for tensor in try HDF5File(path: path, helper: nil).tensors { _ = try tensor.bytes() }
    } catch let error as GristError {
      #expect(error.code == .badData && error.file == path, "\(error)")
    }
  }

  /// The files beside the repository, where they are; see Docs/hdf5.md.
  static func hostileFiles() throws -> [String] {
    let folder = Fixtures.folder + "/../../../shared/hostile-hdf5"
    guard fileKind(at: folder) == .folder else { return [] }
    return try folderContents(folder).filter { $0.hasPrefix("cve") }.map { joinPath(folder, $0) }
  }
}

/// Steele, Lea and Flood's generator: the same damage in every run.
private struct SplitMix {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

/// A program in the helper's place that says what it likes.
@Suite("Nothing silent: the program that reads HDF5 is not believed") struct HDF5DistrustTests {
  let folder = try! TemporaryFolder()

  /// - Parameter answers: Python that answers each request after the greeting.
  private func helper(_ answers: String) throws -> String {
    let script = """
      #!/usr/bin/env python3
      import os, struct, time
      request = lambda: os.read(0, 24)
      def answer(bytes, status=0, length=None):
          os.write(0, struct.pack("<IIQ", status, 0, len(bytes) if length is None else length) + bytes)
      def entry(shape, rank=None):
          return (struct.pack("<I", 1) + b"x" + struct.pack("<I", 3) + b"f32" + struct.pack("<I", len(shape) if rank is None else rank)
                  + struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<Q", 2**64 - 1))
      request(); answer(b"hello")
      request()
      \(answers)
      """
    let path = try folder.write("helper", Array(script.utf8))
    chmod(path, 0o755)
    return path
  }

  private func open(_ helper: String) throws -> HDF5File {
    while true {
      do {
        return try HDF5File(path: Fixtures.path("hdf5/flat.h5"), helper: helper)
      } catch let error as GristError where error.what.contains("Text file busy") {
        // Another test starts a program just now, which has the script open for writing until it begins.
        usleep(1000)
      }
    }
  }

  @Test(
    "19.21: an absurd rank, more elements than the file can hold, an answer of another length or without end",
    .timeLimit(.minutes(1)),
    arguments: [
      "answer(entry([], rank=2**32 - 1) + bytes(64))", "answer(entry([2**60]))", "answer(entry([2**20, 2**20]))",
      "answer(b'', length=2**40)", "answer(b'x' * 100)", "answer(b'\\0' * 9000, status=1)",
    ])
  func nonsense(answers: String) throws {
    let error = #expect(throws: GristError.self) { _ = try open(helper(answers)) }
    #expect(error?.code == .badData && error?.what.contains("nonsense") == true, "\(String(describing: error))")
  }

  @Test("19.21: one that lies about a dataset's length")
  func otherLength() throws {
    let lying = try helper(
      """
      answer(entry([4]))
      request(); answer(bytes(20))
      """)
    let file = try open(lying)
    let error = #expect(throws: GristError.self) { _ = try file.tensors[0].bytes() }
    #expect(error?.code == .badData)
  }
}
