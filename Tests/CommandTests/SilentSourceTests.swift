import Foundation
import GristCore
import GristFormat
import GristSources
import TestSupport
import Testing

/// What strangers' bytes, a source that changes and a system that refuses can do. The numbers are those of
/// Tests/README.md.
@Suite("Nothing silent: sources and systems", .serialized) struct SilentSourceTests {
  let folder = try! TemporaryFolder()

  /// A command that was stopped as soon as a file shows among its mappings, then went on after `change`. On a busy
  /// machine that may come too late; then it is tried again on a source that is whole, a few times.
  private func interfered(
    _ arguments: [String], when mapped: String, whole restore: () throws -> Void, change: () throws -> Void
  ) throws -> Command.Result {
    var result = try interferedOnce(arguments, when: mapped, change)
    for _ in 0..<9 where result.code == 0 {
      try restore()
      result = try interferedOnce(arguments, when: mapped, change)
    }
    return result
  }

  private func interferedOnce(
    _ arguments: [String], when mapped: String, _ change: () throws -> Void
  ) throws -> Command.Result {
    try? FileManager.default.removeItem(atPath: folder.file("m.grist"))
    let running = try Command.Running(arguments)
    let process = running.process.processIdentifier
    for _ in 0..<200_000 where running.process.isRunning {
      if let maps = try? String(contentsOfFile: "/proc/\(process)/maps", encoding: .utf8), maps.contains(mapped) {
        break
      }
    }
    kill(process, SIGSTOP)
    try change()
    kill(process, SIGCONT)
    return try running.wait()
  }

  @Test(
    "19.17: a source that is written to while it is converted is found out", arguments: ["overwritten", "shortened"])
  func changedSource(how: String) throws {
    _ = try folder.copy(Fixtures.conformanceCheckpoint, to: "source")
    let weights = folder.file("source/model.safetensors")
    let bytes = try readFile(weights).array
    let output = folder.file("m.grist")
    let result = try interfered(
      ["convert", folder.file("source"), "-o", output, "--recipe", "source", "--threads", "1", "--quiet"],
      when: weights,
      whole: { try folder.write("source/model.safetensors", bytes) },
      change: {
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: weights))
        if how == "overwritten" {
          try handle.seek(toOffset: UInt64(bytes.count / 2))
          try handle.write(contentsOf: Data(repeating: 0x3c, count: bytes.count / 2))
        } else {
          // Within the last page, where a reader meets zeros instead of a fault.
          try handle.truncate(atOffset: UInt64(bytes.count - bytes.count % 4096 + 1))
        }
        try handle.close()
      })
    #expect(
      result.code == 74 && result.error.contains("changed or replaced while it was being read"), "\(result.error)")
    #expect(fileKind(at: output) == nil)
  }

  @Test("19.23: a shard that shrinks beyond the 256th mapping ends with a sentence, too")
  func shrunkShard() throws {
    let count = 300
    var map = JSONObject()
    for index in 0..<count {
      var writer = SafetensorsWriter()
      try writer.add("w\(index)", .u8, shape: [4096], bytes: Bytes([UInt8](repeating: 1, count: 4096)))
      try folder.write("source/\(index).safetensors", writer.encoded.array)
      map["w\(index)"] = JSONValue("\(index).safetensors")
    }
    let index: JSONValue = ["metadata": ["total_size": 1], "weight_map": .object(map)]
    try folder.write("source/model.safetensors.index.json", Array(index.text().utf8))
    // The last in name order is mapped last, the one that goes is the 290th.
    let names = (0..<count).map { "\($0).safetensors" }.sorted()
    let shard = try readFile(folder.file("source/" + names[289])).array
    let result = try interfered(
      [
        "convert", folder.file("source"), "-o", folder.file("m.grist"), "--recipe", "source", "--threads", "1",
        "--quiet",
      ],
      when: "/source/" + names[count - 1], whole: { try folder.write("source/" + names[289], shard) },
      change: { try folder.write("source/" + names[289], []) })
    #expect(result.code == 74 && result.error.contains(names[289]), "\(result.error)")
    #expect(fileKind(at: folder.file("m.grist")) == nil)
  }

  /// What a full calibration left when it was killed, beside what the whole one gives.
  private func unfinished() throws -> (arguments: [String], output: String, whole: [UInt8]) {
    let output = folder.file("m.grist")
    try folder.write("p.json", Array(#"[{"prompt": "Hi", "answer": "Hello to you."}]"#.utf8))
    let arguments = [
      "convert", Fixtures.conformanceCheckpoint, "-o", output, "--calibrate", "full", "--probes", folder.file("p.json"),
      "--quiet",
    ]
    #expect(try Command.run(arguments).code == 0)
    let whole = try readFile(output).array
    for _ in 0..<50 {
      try? FileManager.default.removeItem(atPath: output + ".unfinished")
      let running = try Command.Running(arguments)
      while running.process.isRunning, fileKind(at: output + ".unfinished/rows-1") == nil { usleep(500) }
      kill(running.process.processIdentifier, SIGKILL)
      running.process.waitUntilExit()
      if fileKind(at: output + ".unfinished/rows-1") == .file { return (arguments, output, whole) }
    }
    Issue.record("no calibration could be stopped in the middle")
    return (arguments, output, whole)
  }

  @Test("19.19: a flipped bit in what an unfinished calibration left is found out, and untouched it is gone on from")
  func flippedProgress() throws {
    let (arguments, output, whole) = try unfinished()
    let kept = folder.file("kept")
    try FileManager.default.moveItem(atPath: output + ".unfinished", toPath: kept)
    for name in ["beginning", "layer-0", "rows-1"] {
      try FileManager.default.copyItem(atPath: kept, toPath: output + ".unfinished")
      var bytes = try readFile(output + ".unfinished/" + name).array
      bytes[bytes.count - 100] ^= 0x40
      try Data(bytes).write(to: URL(fileURLWithPath: output + ".unfinished/" + name))
      let result = try Command.run(arguments)
      #expect(
        result.code == 65 && result.error.contains("checksum") && result.error.contains("remove"), "\(result.error)")
      try FileManager.default.removeItem(atPath: output + ".unfinished")
    }
    try FileManager.default.copyItem(atPath: kept, toPath: output + ".unfinished")
    #expect(try Command.run(arguments).code == 0)
    #expect(try readFile(output).array == whole && fileKind(at: output + ".unfinished") == nil)
  }

  @Test("a calibration that was killed in its first layer begins again")
  func killedInTheFirstLayer() throws {
    let (arguments, output, whole) = try unfinished()
    for name in try folderContents(output + ".unfinished") where name != "beginning" {
      try FileManager.default.removeItem(atPath: output + ".unfinished/" + name)
    }
    let result = try Command.run(arguments)
    #expect(result.code == 0, "\(result.error)")
    #expect(try readFile(output).array == whole && fileKind(at: output + ".unfinished") == nil)
  }

  @Test("19.6: a calibration does not go on from rows of another configuration")
  func otherConfiguration() throws {
    _ = try folder.copy(Fixtures.conformanceCheckpoint, to: "source")
    try folder.write("p.json", Array(#"[{"prompt": "Hi", "answer": "Hello to you."}]"#.utf8))
    func arguments(_ output: String) -> [String] {
      [
        "convert", folder.file("source"), "-o", folder.file(output), "--calibrate", "full", "--probes",
        folder.file("p.json"), "--quiet",
      ]
    }
    let running = try Command.Running(arguments("a.grist"))
    while running.process.isRunning, fileKind(at: folder.file("a.grist.unfinished/rows-1")) == nil { usleep(500) }
    kill(running.process.processIdentifier, SIGKILL)
    running.process.waitUntilExit()
    var configuration = try #require(JSONValue.parse(readFile(folder.file("source/config.json"))).object)
    configuration["rope_theta"] = 500_000.0
    try folder.write("source/config.json", Array(JSONValue.object(configuration).text().utf8))
    #expect(try Command.run(arguments("a.grist")).code == 0)
    #expect(try Command.run(arguments("b.grist")).code == 0)
    #expect(try readFile(folder.file("a.grist")).array == readFile(folder.file("b.grist")).array)
  }

  @Test("19.6: statistics with a flipped bit are refused; those without a checksum are read")
  func flippedStatistics() throws {
    try folder.write("p.json", Array(#"[{"prompt": "Hi", "answer": "Hello to you."}]"#.utf8))
    let stats = folder.file("stats")
    let source = Fixtures.conformanceCheckpoint
    #expect(try Command.run("calibrate", source, "--probes", folder.file("p.json"), "-o", stats, "--quiet").code == 0)
    let convert = ["convert", source, "-o", folder.file("m.grist"), "--quiet", "--stats"]
    #expect(try Command.run(convert + [stats]).code == 0)
    var bytes = try readFile(stats).array
    bytes[bytes.count - 10] ^= 0x01
    try folder.write("flipped", bytes)
    let flipped = try Command.run(convert + [folder.file("flipped")])
    #expect(flipped.code == 65 && flipped.error.contains("checksum") && flipped.error.contains("calibrate again"))
    let file = try SafetensorsFile(path: stats)
    var writer = SafetensorsWriter(metadata: file.metadata.filter { $0.name != "xxh3" })
    for tensor in file.tensors {
      try writer.add(tensor.name, tensor.elementType, shape: tensor.shape, bytes: tensor.bytes())
    }
    try folder.write("earlier", writer.encoded.array)
    #expect(try Command.run(convert + [folder.file("earlier")]).code == 0)
  }

  @Test(
    "19.19: a link in the place of the folder for unfinished work takes nothing with it, nor do names that are not ours"
  )
  func linkedProgress() throws {
    let names = ["layer-cake.txt", "rows-2023.csv", "other.txt"]
    for name in names { try folder.write("thesis/" + name, Array("mine".utf8)) }
    try folder.write("p.json", Array(#"[{"prompt": "Hi", "answer": "Hello to you."}]"#.utf8))
    let output = folder.file("m.grist")
    try FileManager.default.createSymbolicLink(
      atPath: output + ".unfinished", withDestinationPath: folder.file("thesis"))
    let arguments = [
      "convert", Fixtures.conformanceCheckpoint, "-o", output, "--calibrate", "full", "--probes", folder.file("p.json"),
      "--quiet",
    ]
    let refused = try Command.run(arguments)
    #expect(refused.code == 74 && refused.error.contains("is a link, or another user's"), "\(refused.error)")
    #expect(try folderContents(folder.file("thesis")) == names.sorted())
    // A folder of the user's own with such names keeps them, too.
    try FileManager.default.removeItem(atPath: output + ".unfinished")
    try FileManager.default.moveItem(atPath: folder.file("thesis"), toPath: output + ".unfinished")
    #expect(try Command.run(arguments).code == 0)
    #expect(try folderContents(output + ".unfinished") == names.sorted())
  }

  // AddressSanitizer asks for more than any limit here.
  @Test(
    "19.25: memory that the system refuses ends with a sentence and 71", .timeLimit(.minutes(1)),
    .enabled(if: ProcessInfo.processInfo.environment["ASAN_OPTIONS"] == nil))
  func refusedMemory() throws {
    let executable = try #require(Command.executable).path
    let demo = Fixtures.folder + "/../../Tools/DemoModel/"
    var refused = 0
    // At one limit or another each thread and library is the one that is refused.
    for limit in stride(from: 90_000, through: 330_000, by: 20_000) {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/bash")
      process.arguments = [
        "-c",
        "ulimit -v \(limit); exec '\(executable)' run '\(demo)checkpoint' --image '\(demo)probes/0000.jpg' --prompt hi --max-new-tokens 1",
      ]
      let pipe = Pipe()
      (process.standardOutput, process.standardError) = (FileHandle.nullDevice, pipe)
      try process.run()
      let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      #expect(process.terminationReason == .exit)
      let code = process.terminationStatus
      // 127: the dynamic linker is refused before the program begins.
      #expect([0, 71, 127].contains(code), "\(limit): \(code) \(text)")
      if code == 71 {
        refused += 1
        #expect(text.contains("gristmill: ") && text.split(separator: "\n").count == 1, "\(text)")
      }
    }
    #expect(refused > 2)
  }

  @Test("19.25: SIGTERM ends any command within seconds, whatever it is doing", .timeLimit(.minutes(1)))
  func termination() throws {
    // 2 GB that are all one tensor, and take no place: hashing and scanning it take longer than that.
    let header = Array(#"{"w":{"dtype":"F32","shape":[1,536870912],"data_offsets":[0,2147483648]}}"#.utf8)
    let bytes = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) } + header
    try folder.write("source/model.safetensors", bytes)
    truncate(folder.file("source/model.safetensors"), off_t(bytes.count + 2_147_483_648))
    let running = try Command.Running([
      "convert", folder.file("source"), "-o", folder.file("m.grist"), "--recipe", "int4-all", "--threads", "1",
    ])
    for _ in 0..<2000 where fileKind(at: folder.file(".m.grist.lock")) == nil { usleep(5000) }
    let clock = ContinuousClock()
    let start = clock.now
    kill(running.process.processIdentifier, SIGTERM)
    for _ in 0..<2000 where running.process.isRunning { usleep(10_000) }
    if running.process.isRunning { kill(running.process.processIdentifier, SIGKILL) }
    let result = try running.wait()
    #expect(clock.now - start < .seconds(4))
    #expect(result.code == 130 || result.code == 0, "\(result.error)")
    #expect(!folder.contents.contains { $0.hasPrefix(".m.grist") })
  }

  @Test("19.13: an added token that the model has no embedding for stops nothing; what run refuses, convert says")
  func unusedToken() throws {
    _ = try folder.copy(Fixtures.path("huggingface/llava-5"), to: "model")
    // Its own words are those of this file, too.
    try FileManager.default.removeItem(atPath: folder.file("model/tokenizer.model"))
    _ = try folder.copy(Fixtures.path("tokenizers/sentencepiece.json"), to: "model/tokenizer.json")
    let path = folder.file("model/tokenizer.json")
    var tokenizer = try #require(JSONValue.parse(readFile(path)).object)
    var added = try #require(tokenizer["added_tokens"]?.array)
    added.append([
      "id": 100_000, "content": "<pad>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
      "special": true,
    ])
    tokenizer["added_tokens"] = .array(added)
    try folder.write("model/tokenizer.json", Array(JSONValue.object(tokenizer).text().utf8))
    let run = ["run", folder.file("model"), "--template", "llava", "--max-new-tokens", "1", "--prompt"]
    #expect(try Command.run(run + ["Hi"]).code == 0)
    let spelled = try Command.run(run + ["Hi <pad>"])
    #expect(spelled.code == 65 && spelled.error.contains("a token has no embedding"), "\(spelled.error)")
    try FileManager.default.removeItem(atPath: path)
    let converted = try Command.run(
      "convert", folder.file("model"), "-o", folder.file("m.grist"), "--recipe", "source", "--template", "llava")
    #expect(converted.code == 0 && converted.error.contains("`run` will refuse it"), "\(converted.error)")
  }

  @Test("19.20: one long name or a long value does not widen a table or fill a sentence")
  func longTexts() throws {
    var writer = SafetensorsWriter()
    try writer.add(String(repeating: "a", count: 1 << 20), .u8, shape: [1], bytes: Bytes([1]))
    for index in 0..<100 { try writer.add("t\(index)", .u8, shape: [1], bytes: Bytes([1])) }
    try folder.write("source/model.safetensors", writer.encoded.array)
    let model = folder.file("m.grist")
    #expect(try Command.run("convert", folder.file("source"), "-o", model, "--recipe", "source", "--quiet").code == 0)
    #expect(try Command.run("inspect", model).output.utf8.count < 100_000)
    _ = try folder.copy(Command.crop, to: "odd")
    var configuration = try #require(JSONValue.parse(readFile(Command.crop + "/config.json")).object)
    configuration["odd"] = .object((0..<20_000).reduce(into: JSONObject()) { $0["\($1)"] = 0 })
    try folder.write("odd/config.json", Array(JSONValue.object(configuration).text().utf8))
    let refused = try Command.run("run", folder.file("odd"), "--prompt", "Hi")
    #expect(refused.code == 65 && refused.error.utf8.count < 1000, "\(refused.error.prefix(300))")
  }

  @Test("19.23: codes of -128, on which kernels do not agree, are refused by the check")
  func codesOfMinus128() throws {
    let checkpoint = folder.file("m.grist")
    #expect(
      try Command.run("convert", Command.crop, "-o", checkpoint, "--recipe", "int8", "--pack", "raw", "--quiet").code
        == 0)
    let file = try GristFile(path: checkpoint)
    let target = folder.file("bad.grist")
    let writer = try GristWriter(path: target, provenance: file.manifest.provenance)
    writer.beginSegment("all")
    for tensor in file.manifest.tensors {
      try writer.beginTensor(named: tensor.name)
      for chunk in tensor.chunks.range {
        var bytes = try file.payload(ofChunk: chunk).array
        if tensor.name == "lm_head.weight", chunk == tensor.chunks.first { bytes[7] = 0x80 }
        try writer.append(PackedChunk(Bytes(bytes), packing: .raw))
      }
      writer.endTensor(tensor, unitsPerChunk: tensor.chunks.unitsPerChunk)
    }
    try writer.finish()
    let result = try Command.run("inspect", target, "--check")
    #expect(
      result.code == 65 && result.error.contains("a code of -128") && result.error.contains("lm_head.weight"),
      "\(result.error)")
    #expect(try Command.run("inspect", checkpoint, "--check", "--quiet").code == 0)
  }
}
