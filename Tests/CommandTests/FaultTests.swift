import Foundation
import GristCore
import GristSources
import TestSupport
import Testing

/// What the command once did to a caller who asked for something odd.
@Suite("Faults: the command", .serialized) struct FaultTests {
  let folder = try! TemporaryFolder()

  @Test(
    "Fault 7: an absurd number of tokens is a usage error", arguments: ["9223372036854775807", "1000000000000"],
    [["run", "M", "--prompt", "x"], ["record", "M", "--probes", "p", "-o", "r"], ["verify", "M"]])
  func absurdTokens(tokens: String, command: [String]) throws {
    let result = try Command.run(command.map { $0 == "M" ? Command.crop : $0 } + ["--max-new-tokens", tokens])
    #expect(result.code == 64)
    #expect(result.error.contains("--max-new-tokens must be from"), "\(result.error)")
  }

  /// Runs the command with one of its streams on a device that is always full.
  private func runOnFullDevice(_ arguments: [String], stream: Int32) throws -> Int32 {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    let quoted = ([try #require(Command.executable).path] + arguments).map { "'\($0)'" }.joined(separator: " ")
    process.arguments = ["-c", "\(quoted) \(stream)>/dev/full \(stream == 1 ? 2 : 1)>/dev/null"]
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus
  }

  @Test(
    "Fault 8: an answer that cannot be written is an error (74)",
    arguments: [
      ["--help"], ["--version"], ["inspect", "GRIST"], ["inspect", "GRIST", "--json"],
      ["convert", "CROP", "-o", "OUT", "--dry-run"], ["convert", "CROP", "-o", "OUT", "--json"],
      ["run", "CROP", "--prompt", "Hi", "--max-new-tokens", "1"],
      ["run", "CROP", "--prompt", "Hi", "--max-new-tokens", "1", "--json"],
      ["verify", "GRIST", "--reference", "CROP", "--prompt", "Hi", "--max-new-tokens", "1"],
      ["record", "CROP", "--probes", "PROBES", "-o", "OUT"],
      ["bench", "GRIST", "--prefill", "1", "--depths", "none", "--text-only"],
    ])
  func fullDevice(arguments: [String]) throws {
    let converted = try Command.run("convert", Command.crop, "-o", folder.file("m.grist"), "--recipe", "source")
    #expect(converted.code == 0)
    try folder.write("p.json", Array(#"[{"prompt": "Hi"}]"#.utf8))
    let names = [
      "GRIST": folder.file("m.grist"), "CROP": Command.crop, "OUT": folder.file("out"), "PROBES": folder.file("p.json"),
    ]
    #expect(try runOnFullDevice(arguments.map { names[$0] ?? $0 }, stream: 1) == 74)
  }

  @Test("Fault 8: a message that cannot be written is an error too (74)")
  func fullErrorStream() throws {
    #expect(try runOnFullDevice(["inspect", folder.file("nothing")], stream: 2) == 74)
    #expect(try runOnFullDevice(["run", Command.crop, "--prompt", "Hi", "--max-new-tokens", "1"], stream: 2) == 74)
    #expect(try runOnFullDevice(["no-such-command"], stream: 2) == 74)
  }

  @Test("Fault 9: a pipe is refused at once", .timeLimit(.minutes(1)), arguments: ["inspect", "verify", "convert"])
  func pipe(command: String) throws {
    let pipe = folder.file("pipe")
    #expect(mkfifo(pipe, 0o600) == 0)
    let more = command == "convert" ? ["-o", folder.file("out")] : []
    let result = try Command.run([command, pipe] + more)
    #expect(result.code == 65, "\(result.error)")
    #expect(result.error.contains("not a plain file"), "\(result.error)")
  }

  @Test("Fault 9: one signal ends the wait for a reader", .timeLimit(.minutes(1)))
  func waitingForReader() throws {
    let converted = try Command.run("convert", Command.crop, "-o", folder.file("m.grist"), "--recipe", "source")
    #expect(converted.code == 0)
    let process = Process()
    process.executableURL = try #require(Command.executable)
    process.arguments = ["inspect", folder.file("m.grist"), "--json"]
    let pipe = Pipe()
    process.standardOutput = pipe
    // F_SETPIPE_SZ: one page is full at once.
    fcntl(pipe.fileHandleForWriting.fileDescriptor, 1031, 4096)
    process.standardError = FileHandle.nullDevice
    try process.run()
    // Once something came it is writing; a page is full at once, and so it waits.
    #expect(try pipe.fileHandleForReading.read(upToCount: 1)?.count == 1)
    Thread.sleep(forTimeInterval: 0.5)
    #expect(process.isRunning)
    process.terminate()
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 130)
  }

  @Test(
    "Fault 10: the same bytes on every instruction set, calibrated by the same statistics too",
    arguments: [("int4-all", false), ("int4-all", true), ("int8", false), ("f16", false)])
  func bytesOfEveryInstructionSet(recipe: String, isCalibrated: Bool) throws {
    let stats = folder.file("stats")
    if isCalibrated {
      try folder.write("p.json", Array(#"[{"prompt": "Hi", "answer": "Good morning, all of you!"}]"#.utf8))
      let gathered = try Command.run(
        "calibrate", Fixtures.conformanceCheckpoint, "--probes", folder.file("p.json"), "-o", stats)
      #expect(gathered.code == 0)
    }
    var written: [(isa: String, bytes: Bytes)] = []
    for isa in ["portable", "avx2", "avxvnni", "avx512", "avx512bf16", "neon"] {
      let process = Process()
      process.executableURL = try #require(Command.executable)
      process.arguments =
        [
          "convert", Fixtures.conformanceCheckpoint, "-o", folder.file(isa), "--recipe", recipe, "--quiet",
        ] + (isCalibrated ? ["--stats", stats] : ["--calibrate", "none"])
      process.environment = ProcessInfo.processInfo.environment.merging(["GRISTMILL_ISA": isa]) { _, new in new }
      try process.run()
      process.waitUntilExit()
      // A name that this processor's family has not is refused; one that it only lacks falls back on the next.
      if process.terminationStatus == 64 { continue }
      #expect(process.terminationStatus == 0)
      written.append((isa, try readFile(folder.file(isa))))
    }
    #expect(written.count >= 2)
    for other in written.dropFirst() {
      #expect(other.bytes.elementsEqual(written[0].bytes), "\(other.isa) differs from \(written[0].isa)")
    }
  }

  @Test("calibrate, then convert with what it wrote; other weights' statistics are refused")
  func calibrated() throws {
    try folder.write("p.json", Array(#"[{"prompt": "Hi"}, {"prompt": "What?"}]"#.utf8))
    let stats = folder.file("stats")
    let document = try Command.run(
      "calibrate", Fixtures.conformanceCheckpoint, "--probes", folder.file("p.json"), "-o", stats, "--json"
    ).document()
    #expect((document["tokens"]?.integer ?? 0) > 20 && (document["matrices"]?.integer ?? 0) > 10)
    let arguments = ["-o", folder.file("m.grist"), "--calibrate", "block", "--quiet"]
    #expect(try Command.run(["convert", Fixtures.conformanceCheckpoint] + arguments + ["--stats", stats]).code == 0)
    #expect(try Command.run("inspect", folder.file("m.grist"), "--check").code == 0)
    let refused = try Command.run(["convert", Command.crop] + arguments + ["--stats", stats])
    #expect(refused.code == 65 && refused.error.contains("other weights"), "\(refused.error)")
    let other = ["convert", Command.crop, "-o", folder.file("x"), "--stats", stats]
    #expect(try Command.run(other).code == 65)
    for mode in ["none", "full"] { #expect(try Command.run(other + ["--calibrate", mode]).code == 64) }
    #expect(
      try Command.run("calibrate", folder.file("m.grist"), "--probes", folder.file("p.json"), "-o", stats).code == 65)
  }

  @Test(
    "convert --calibrate full: the file says so, nothing is left beside it, and it is refused where it could do nothing"
  )
  func calibratedInFull() throws {
    try folder.write("p.json", Array(#"[{"prompt": "Hi", "answer": "Hello to you."}]"#.utf8))
    let arguments = [
      "convert", Fixtures.conformanceCheckpoint, "-o", folder.file("m.grist"), "--calibrate", "full", "--probes",
      folder.file("p.json"),
    ]
    #expect(try Command.run(arguments + ["--quiet"]).code == 0)
    #expect(try folderContents(folder.path).sorted() == ["m.grist", "p.json"])
    let step = try Command.run("inspect", folder.file("m.grist"), "--json").document()["lineage"]?.array?.last
    #expect(
      step?["calibration"]?.string?.hasPrefix("full: 1 questions of p.json, ") == true, "\(String(describing: step))")
    let refused = try Command.run(arguments + ["--recipe", "int8"])
    #expect(refused.code == 64 && refused.error.contains("no tensor becomes int4"), "\(refused.error)")
    #expect(try Command.run(arguments + ["--stats", "stats"]).code == 64)
  }

  @Test("an instruction set nobody knows is a usage error")
  func unknownInstructionSet() throws {
    let process = Process()
    process.executableURL = try #require(Command.executable)
    process.arguments = ["run", Command.crop, "--prompt", "Hi", "--max-new-tokens", "1"]
    process.environment = ProcessInfo.processInfo.environment.merging(["GRISTMILL_ISA": "avx1024"]) { _, new in new }
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 64)
  }

  @Test("Fault 11: what a terminal would obey is shown instead")
  func escapeSequences() throws {
    var writer = SafetensorsWriter()
    try writer.add("\u{1b}]0;owned\u{7}\u{202e}w\n", .u8, shape: [1], bytes: Bytes([1]))
    try folder.write("odd/model.safetensors", writer.encoded.array)
    let arguments = ["convert", folder.file("odd"), "-o", folder.file("odd.grist"), "--recipe", "source"]
    let outputs = [
      try Command.run(arguments + ["--dry-run"]), try Command.run(arguments),
      try Command.run("inspect", folder.file("odd.grist")),
      try Command.run("inspect", folder.file("odd.grist"), "--json"),
      try Command.run("inspect", folder.file("odd.grist"), "--tensors", "\u{1b}["),
    ]
    for output in outputs {
      for scalar in (output.output + output.error).unicodeScalars where scalar != "\n" {
        #expect(scalar.value >= 0x20 && !(0x7f..<0xa0).contains(scalar.value))
      }
    }
    #expect(outputs[0].output.contains("\\u{1b}]0;owned\\u{7}\\u{202e}w\\u{a}"), "\(outputs[0].output)")
  }

  @Test("Faults 12 and 13: odd names and types go through a file and back")
  func oddTensors() throws {
    var writer = SafetensorsWriter()
    for (index, type) in ElementType.allCases.enumerated() {
      // Any bytes, but real numbers that a recipe may be asked to round must be finite.
      let bytes = (0..<8 * type.bitCount / 8).map {
        type.isFloatingPoint ? 0x3c : UInt8(truncatingIfNeeded: $0 &* 37 &+ index)
      }
      try writer.add("t\(index)", type, shape: [2, 4], bytes: Bytes(bytes))
    }
    try writer.add("caf\u{e9}", .u8, shape: [1], bytes: Bytes([1]))
    try writer.add("cafe\u{301}", .u8, shape: [1], bytes: Bytes([2]))
    try folder.write("odd/model.safetensors", writer.encoded.array)
    for recipe in ["source", "int8", "int4-all", "f32"] {
      let result = try Command.run(
        "convert", folder.file("odd"), "-o", folder.file("odd.grist"), "--recipe", recipe, "--quiet")
      #expect(result.code == 0, "\(result.error)")
      let document = try Command.run("inspect", folder.file("odd.grist"), "--json", "--check").document()
      #expect(document["tensors"]?.array?.count == ElementType.allCases.count + 2)
    }
    let refused = try Command.run(
      "convert", folder.file("odd"), "-o", folder.file("no.grist"), "--recipe", "source", "--set", "caf=int8")
    #expect(refused.code == 64)
  }
}
