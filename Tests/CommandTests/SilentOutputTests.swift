import Foundation
import GristCore
import GristSources
import TestSupport
import Testing

/// No file is lost, and no hour spent before the refusal: where the command writes. The numbers are those of
/// Tests/README.md.
@Suite("Nothing silent: outputs", .serialized) struct SilentOutputTests {
  let folder = try! TemporaryFolder()

  private func checkpoint() throws -> String { try folder.copy(Command.crop, to: "checkpoint") }

  /// A converted file, and a file of questions.
  private func grist(_ recipe: String = "source") throws -> String {
    let path = folder.file("\(recipe).grist")
    #expect(try Command.run("convert", Command.crop, "-o", path, "--recipe", recipe, "--quiet").code == 0)
    return path
  }

  private func questions() throws -> String {
    try folder.write("p.json", Array(#"[{"prompt": "Hi"}]"#.utf8))
  }

  @Test(
    "19.8: no command writes onto what it reads, forced or not, by another name or through a link",
    arguments: ["model.safetensors", "config.json", "tokenizer.model"], [false, true])
  func outputIsInput(name: String, isForced: Bool) throws {
    let checkpoint = try checkpoint()
    let target = checkpoint + "/" + name
    let before = try readFile(target).array
    try FileManager.default.createSymbolicLink(atPath: folder.file("link"), withDestinationPath: target)
    try FileManager.default.linkItem(atPath: target, toPath: folder.file("twin"))
    let force = isForced ? ["--force"] : []
    for output in [target, folder.file("link"), folder.file("twin")] {
      for command in [
        ["convert", checkpoint, "-o", output], ["calibrate", checkpoint, "--probes", try questions(), "-o", output],
        ["record", checkpoint, "--probes", try questions(), "-o", output],
      ] {
        let result = try Command.run(command + force + ["--quiet"])
        #expect(result.code == 64 && result.error.contains("a file that this command reads"), "\(result.error)")
      }
    }
    #expect(try readFile(target).array == before)
  }

  @Test("19.8: questions, models and records are inputs too")
  func otherInputs() throws {
    let model = try grist()
    let questions = try questions()
    let before = try (readFile(model).array, readFile(questions).array)
    for command in [
      ["record", Command.crop, "--probes", questions, "-o", questions],
      ["verify", model, "--reference", Command.crop, "--probes", questions, "--report", model],
      ["verify", model, "--reference", Command.crop, "--probes", questions, "--report", questions],
      ["convert", model, "-o", model, "--pack", "raw"],
    ] {
      let result = try Command.run(command + ["--force", "--quiet"])
      #expect(result.code == 64 && result.error.contains("a file that this command reads"), "\(result.error)")
    }
    #expect(try readFile(model).array == before.0 && readFile(questions).array == before.1)
  }

  @Test("19.8: a file of another kind is replaced only when that is asked for")
  func otherKind() throws {
    let thesis = try folder.write("thesis.txt", Array("mine".utf8))
    let arguments = ["convert", Command.crop, "-o", thesis, "--recipe", "source", "--quiet"]
    let refused = try Command.run(arguments)
    #expect(refused.code == 64 && refused.error.contains("not a .grist file"), "\(refused.error)")
    #expect(try readFile(thesis).utf8 == "mine")
    #expect(try Command.run(arguments + ["--force"]).code == 0)
    // One of its own kind is replaced unasked.
    #expect(try Command.run(arguments).code == 0)
  }

  @Test("19.8: a link stays a link, and an existing file's mode stays")
  func linkAndMode() throws {
    let real = try grist()
    #expect(chmod(real, 0o600) == 0)
    try FileManager.default.createSymbolicLink(atPath: folder.file("link.grist"), withDestinationPath: "source.grist")
    #expect(
      try Command.run("convert", Command.crop, "-o", folder.file("link.grist"), "--recipe", "int8", "--quiet").code == 0
    )
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder.file("link.grist")) == "source.grist")
    #expect(try Command.run("inspect", real, "--json").document()["recipe"]?.string == "int8")
    #expect(
      try Command.run("record", Command.crop, "--probes", questions(), "--into", real, "--max-new-tokens", "1").code
        == 0)
    let mode = try FileManager.default.attributesOfItem(atPath: real)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    #expect(chmod(real, 0o400) == 0)
    let protected = try Command.run("convert", Command.crop, "-o", real, "--recipe", "int8", "--quiet")
    #expect(protected.code == 74 && protected.error.contains("protected against writing"), "\(protected.error)")
  }

  @Test(
    "19.10: what is wrong with an output is said before the work",
    arguments: [("no/such/x.grist", Int32(74)), (".", 64), ("new/", 64), ("/dev/stdout", 64)])
  func badOutputs(output: String, code: Int32) throws {
    // Full calibration would leave its folder behind as soon as it begins.
    let result = try Command.run(
      ["convert", Fixtures.conformanceCheckpoint, "-o", output, "--calibrate", "full", "--quiet"], in: folder.path)
    #expect(result.code == code, "\(result.error)")
    #expect(try folderContents(folder.path).isEmpty)
  }

  @Test("19.10: a verdict is printed whatever becomes of the page, and a page that cannot be is refused before")
  func verdictAndPage() throws {
    let model = try grist()
    let arguments = [
      "verify", model, "--reference", Command.crop, "--prompt", "Hi", "--text-only", "--max-new-tokens", "1",
    ]
    let before = try Command.run(arguments + ["--report", folder.file("no/page.html")])
    #expect(before.code == 74 && before.output.isEmpty, "\(before.output)")
    // The page does not fit under the limit on files' sizes.
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    let command = ([try #require(Command.executable).path] + arguments + ["--report", folder.file("page.html")])
      .map { "'\($0)'" }.joined(separator: " ")
    process.arguments = ["-c", "ulimit -f 1; \(command) 2>&1"]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(
      process.terminationStatus == 74 && output.contains("PASSED") && output.contains("File too large"), "\(output)")
  }

  @Test("19.9: a second command on one output is told so, and takes nothing away")
  func twoOnOneOutput() throws {
    let output = folder.file("m.grist")
    let first = try AtomicFile(path: output)
    let second = try Command.run("convert", Command.crop, "-o", output, "--recipe", "source", "--quiet")
    #expect(second.code == 74 && second.error.contains("another program is writing this output"), "\(second.error)")
    first.discard()
  }

  @Test("19.22: what a killed program left of an output goes with the next one, and other hidden files stay")
  func leftovers() throws {
    try folder.write(".m.grist.0123abcd.partial", [1])
    try folder.write(".m.grist.lock", [])
    try folder.write(".m.grist.mine.partial", [2])
    try folder.write(".other.grist.0123abcd.partial", [3])
    #expect(try Command.run("convert", Command.crop, "-o", folder.file("m.grist"), "--recipe", "source").code == 0)
    #expect(try folderContents(folder.path) == [".m.grist.mine.partial", ".other.grist.0123abcd.partial", "m.grist"])
  }

  @Test("19.23: a record is not put into a file that became another one")
  func recordIntoReplaced() throws {
    let path = try grist()
    let other = try readFile(path).array
    let file = try AtomicFile(path: path, replacing: #require(FileIdentity(at: path)))
    try FileManager.default.removeItem(atPath: path)
    try folder.write("source.grist", other)
    let error = #expect(throws: GristError.self) { try file.finish(with: Bytes([1])) }
    #expect(error?.code == .inputOutput)
    #expect(try readFile(path).array == other)
  }

  @Test("19.23: a file too large for the user's limit is 74, and leaves nothing", arguments: [true, false])
  func fileSizeLimit(isFirst: Bool) throws {
    let output = folder.file("m.grist")
    if !isFirst { try folder.write("m.grist", Array("GRIST old".utf8)) }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    // What Foundation starts has its signals blocked, and would be told by write(2) in any case.
    let script = """
      import os, resource, signal, sys
      signal.pthread_sigmask(signal.SIG_SETMASK, [])
      signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
      resource.setrlimit(resource.RLIMIT_FSIZE, (10240, 10240))
      os.execv(sys.argv[1], sys.argv[1:])
      """
    process.arguments = [
      "python3", "-c", script, try #require(Command.executable).path, "convert", Command.crop, "-o", output, "--recipe",
      "source", "--quiet",
    ]
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 74)
    #expect(try folderContents(folder.path) == (isFirst ? [] : ["m.grist"]))
    if !isFirst { #expect(try readFile(output).utf8 == "GRIST old") }
  }
}
