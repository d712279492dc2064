import Foundation
import GristCore
import GristSources
import TestSupport
import Testing

/// No verdict and no answer that is not what it seems: what the command is asked. The numbers are those of
/// Tests/README.md.
@Suite("Nothing silent: questions and verdicts", .serialized) struct SilentAnswerTests {
  let folder = try! TemporaryFolder()

  private func converted(_ source: String = Command.router, _ options: String...) throws -> String {
    let path = folder.file("m.grist")
    #expect(try Command.run(["convert", source, "-o", path, "--quiet"] + options).code == 0)
    return path
  }

  @Test(
    "19.1: a probe's unknown member is refused by name, and so is a placeholder in it",
    arguments: [
      (#"[{"prompt": "a"}, {"img": "x.jpg", "prompt": "What?"}]"#, #"probe 1: "img" is no member of a probe"#),
      (#"[{"prompt": "see <image>"}]"#, "probe 0: \"prompt\" spells out <image>"),
    ])
  func unknownMember(text: String, sentence: String) throws {
    let probes = try folder.write("p.json", Array(text.utf8))
    for command in [
      ["verify", Command.router, "--reference", Command.router, "--probes", probes],
      ["record", Command.router, "--probes", probes, "-o", folder.file("r")],
      ["calibrate", Command.router, "--probes", probes, "-o", folder.file("s")],
    ] {
      let result = try Command.run(command)
      #expect(result.code == 65 && result.error.contains(sentence), "\(result.error)")
    }
  }

  @Test("19.1: a model that has a router and was asked no choice does not pass, unless that is meant")
  func noChoiceAsked() throws {
    let checkpoint = Fixtures.conformanceCheckpoint
    let model = try converted(checkpoint, "--recipe", "source")
    let arguments = ["verify", model, "--reference", checkpoint, "--prompt", "Hello", "--max-new-tokens", "2"]
    let page = folder.file("page.html")
    let text = try Command.run(arguments + ["--report", page])
    #expect(text.code == 1 && text.output.contains("FAILED: no router choice was tested"), "\(text.output)")
    #expect(text.output.contains("untested router choices"))
    #expect(try readFile(page).utf8?.contains("Not tested: router choices") == true)
    let document = try Command.run(arguments + ["--json"]).document()
    #expect(document["passed"] == false && document["not_tested"]?.array?.count == 1)
    let meant = try Command.run(arguments + ["--text-only", "--json"])
    #expect(try meant.code == 0 && meant.document()["not_tested"]?.array?.count == 1)
    // A picture is a choice asked.
    let asked = try Command.run(arguments + ["--image", Command.picture, "--json"])
    #expect(try asked.code == 0 && asked.document()["not_tested"] == [])
    // A model without a router has none to be asked.
    #expect(
      try Command.run("verify", Command.crop, "--reference", Command.crop, "--prompt", "Hi", "--max-new-tokens", "1")
        .code == 0)
  }

  @Test("19.2: a prompt longer than the context is refused with both numbers, or cut where that is asked for")
  func context() throws {
    let short = try folder.copy(Command.router, to: "short")
    var configuration = try #require(JSONValue.parse(readFile(short + "/config.json")).object)
    configuration["tokenizer_model_max_length"] = 120
    try folder.write("short/config.json", Array(JSONValue.object(configuration).text().utf8))
    let words = String(repeating: "word ", count: 80)
    let run = ["run", short, "--max-new-tokens", "200", "--json", "--prompt"]
    let refused = try Command.run(run + [words])
    #expect(refused.code == 64 && refused.error.contains("context of 120 tokens"), "\(refused.error)")
    #expect(refused.error.contains("found ") && refused.error.contains("--truncate"))
    let cut = try Command.run(run + [words, "--truncate"]).document()
    #expect(cut["sequence_length"] == 120)
    // The picture's rows count.
    let seen = try Command.run(run + ["What?", "--image", Command.picture, "--granularity", "576"])
    #expect(seen.code == 64 && seen.error.contains("of the picture"), "\(seen.error)")
    // An answer ends where the context does; this one never gives its end token.
    let answer = try Command.run(run + ["Hi"]).document()
    let length = try #require(answer["sequence_length"]?.integer)
    if answer["ending"] != "eos" {
      #expect(answer["ending"] == "context")
      #expect(answer["tokens"]?.array?.count == 120 - length + 1)
    }
    // The lesser of the two counts.
    configuration["tokenizer_model_max_length"] = 4096
    configuration["max_position_embeddings"] = 50
    try folder.write("short/config.json", Array(JSONValue.object(configuration).text().utf8))
    #expect(try Command.run(run + [words]).error.contains("context of 50 tokens"))
  }

  @Test(
    "19.5: what is given twice and taken once is an error",
    arguments: [
      ["run", "M", "--prompt", "a", "--granularity", "36", "--granularity", "72"],
      ["run", "M", "--prompt", "a", "--prompt", "b"],
      ["run", "M", "--prompt=a", "--prompt", "b"], ["verify", "M", "--reference", "a", "--reference", "b"],
      ["convert", "M", "-o", "a", "--output", "b"], ["convert", "M", "-o", "a", "-o", "a"],
    ])
  func givenTwice(arguments: [String]) throws {
    let result = try Command.run(arguments.map { $0 == "M" ? Command.crop : $0 })
    #expect(result.code == 64 && result.error.contains("is given twice"), "\(result.error)")
  }

  @Test("19.5: what may be repeated still may, and a value may look like an option")
  func repeatable() throws {
    let result = try Command.run(
      "convert", Command.crop, "--dry-run", "--set", "a=int8", "--set", "b=int8", "--ignore-key", "a", "--ignore-key",
      "b")
    #expect(result.code == 0, "\(result.error)")
  }

  @Test("19.7: peak memory is this program's own, not that of who started it")
  func peakMemory() throws {
    // A parent of 300 MB: what it had resident must not be taken for ours.
    let script = """
      import json, subprocess, sys
      block = bytearray(b"x") * 300_000_000
      out = subprocess.run(sys.argv[1:], capture_output=True, check=True).stdout
      print(json.loads(out)["timing"]["peak_resident_bytes"])
      """
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [
      "python3", "-c", script, try #require(Command.executable).path, "run", Command.crop, "--prompt", "Hi", "--json",
      "--max-new-tokens", "1",
    ]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    let peak = try #require(Int(output.trimmingCharacters(in: .whitespacesAndNewlines)), "\(output)")
    #expect(peak > 1_000_000 && peak < 200_000_000)
  }

  @Test("19.11: a path that is not UTF-8 is found, and a prompt that is not is refused")
  func pathsOfBytes() throws {
    let bytes = Array(folder.path.utf8) + Array("/caf".utf8) + [0xe9] + Array(".jpg".utf8)
    let picture = try readFile(Command.picture).array
    let path = bytes.map { CChar(bitPattern: $0) } + [0]
    let descriptor = open(path, O_WRONLY | O_CREAT, 0o644)
    #expect(descriptor >= 0 && write(descriptor, picture, picture.count) == picture.count)
    close(descriptor)
    func run(_ script: String) throws -> (code: Int32, output: String) {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/bash")
      process.arguments = ["-c", script]
      process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
      let pipe = Pipe()
      (process.standardOutput, process.standardError) = (pipe, pipe)
      try process.run()
      let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      return (process.terminationStatus, output)
    }
    let gristmill = "'\(try #require(Command.executable).path)' run '\(Command.crop)' --max-new-tokens 1"
    let seen = try run("\(gristmill) --prompt Hi --image $'caf\\xe9.jpg'")
    #expect(seen.code == 0, "\(seen.output)")
    let missing = try run("\(gristmill) --prompt Hi --image $'th\\xe9.jpg'")
    #expect(missing.code == 66 && missing.output.contains(#"th\xe9.jpg: no such file"#), "\(missing.output)")
    let prompt = try run("\(gristmill) --prompt $'caf\\xe9'")
    #expect(prompt.code == 64 && prompt.output.contains("not valid UTF-8"), "\(prompt.output)")
  }

  @Test(
    "19.14: a picture that is none is told apart from one of another format",
    arguments: [
      ([UInt8](), "an empty file", "fetch the file again"),
      (Array("<!DOCTYPE html><p>sign in".utf8), "a page for a browser", "fetch the file itself"),
      (Array("version https://git-lfs.github.com/spec/v1\noid".utf8), "a git-lfs pointer", "git lfs pull"),
      (Array("GIF89a".utf8), "a GIF image", "convert it to JPEG, PNG or WebP"),
    ])
  func noPicture(bytes: [UInt8], found: String, advice: String) throws {
    let path = try folder.write("x.jpg", bytes)
    let result = try Command.run("run", Command.crop, "--prompt", "Hi", "--image", path)
    #expect(result.code == 65 && result.error.contains(found) && result.error.contains(advice), "\(result.error)")
  }

  @Test(
    "19.14: a pointer named .safetensors, a negative temperature, an empty GRISTMILL_ISA, calibrating what lost something"
  )
  func sentences() throws {
    let checkpoint = try folder.copy(Command.crop, to: "pointer")
    try folder.write("pointer/model.safetensors", Array("version https://git-lfs.github.com/spec/v1\noid".utf8))
    let pointer = try Command.run("convert", checkpoint, "-o", folder.file("x"))
    #expect(pointer.code == 65 && pointer.error.contains("a git-lfs pointer") && pointer.error.contains("git lfs pull"))
    let cold = try Command.run("run", Command.crop, "--prompt", "Hi", "--temperature", "-1")
    #expect(cold.code == 64 && cold.error.contains("the temperature must be 0 or more: found -1"), "\(cold.error)")
    let process = Process()
    process.executableURL = try #require(Command.executable)
    process.arguments = ["run", Command.crop, "--prompt", "Hi", "--max-new-tokens", "1"]
    process.environment = ProcessInfo.processInfo.environment.merging(["GRISTMILL_ISA": ""]) { _, new in new }
    (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    let lossy = try converted(Command.crop, "--recipe", "int8")
    let calibrated = try Command.run("calibrate", lossy, "-o", folder.file("s"))
    #expect(calibrated.code == 65 && !calibrated.error.contains("--allow-lossy-reference"), "\(calibrated.error)")
  }

  @Test("19.24: a file of other weights does not pass, however few; asked for, outputs alone decide")
  func otherWeights() throws {
    let other = try folder.copy(Command.router, to: "other")
    var bytes = try readFile(other + "/model.safetensors").array
    // The sign of one number of the last tensor.
    bytes[bytes.count - 1] ^= 0x80
    try folder.write("other/model.safetensors", bytes)
    let model = try converted(other, "--recipe", "source")
    let arguments = [
      "verify", model, "--reference", Command.router, "--prompt", "Hi", "--text-only", "--max-new-tokens", "1",
    ]
    let result = try Command.run(arguments)
    #expect(result.code == 1 && result.output.contains("not the reference's"), "\(result.output)")
    #expect(try Command.run(arguments + ["--other-weights", "--max-kl", "1000"]).code == 0)
  }

  @Test("19.24: a cast that lost nothing is no other weight")
  func castWeights() throws {
    // f16 values are f32 values, too.
    let checkpoint = try Checkpoint(path: Command.router)
    var writer = SafetensorsWriter()
    for tensor in checkpoint.tensors {
      let bytes = try tensor.bytes()
      guard tensor.elementType == .f16 else {
        try writer.add(tensor.name, tensor.elementType, shape: tensor.shape, bytes: bytes)
        continue
      }
      let values = (0..<tensor.elementCount).map { index in
        Float(Float16(bitPattern: bytes.integer(at: 2 * index, as: UInt16.self) ?? 0))
      }
      try writer.add(tensor.name, shape: tensor.shape, floats: values)
    }
    _ = try folder.copy(Command.router, to: "f32")
    try folder.write("f32/model.safetensors", writer.encoded.array)
    for recipe in ["int8", "int4", "source"] {
      let model = try converted(Command.router, "--recipe", recipe)
      let result = try Command.run(
        "verify", model, "--reference", folder.file("f32"), "--prompt", "Hi", "--text-only", "--max-new-tokens", "1",
        "--max-kl", "1000", "--json")
      let document = try result.document()
      #expect(
        document["weights"]?["origin"] == "cast" && document["passed"] == true,
        "\(recipe): \(result.output.prefix(400))")
    }
    // Folder against folder, too.
    let folders = try Command.run(
      "verify", folder.file("f32"), "--reference", Command.router, "--prompt", "Hi", "--text-only", "--max-new-tokens",
      "1",
      "--json"
    ).document()
    #expect(folders["weights"]?["origin"] == "cast" && folders["passed"] == true)
  }

  @Test("19.26: a .grist source is repacked as it is; quantizing again wants to be asked for")
  func repacked() throws {
    let first = try converted(Command.router, "--recipe", "int4", "--calibrate", "none")
    let raw = folder.file("raw.grist")
    #expect(try Command.run("convert", first, "-o", raw, "--pack", "raw", "--quiet").code == 0)
    func answer(_ path: String) throws -> JSONValue? {
      try Command.run("run", path, "--prompt", "Hi", "--logits", "--json", "--max-new-tokens", "2").document()[
        "logits_last"]
    }
    #expect(try answer(first) == answer(raw))
    let again = ["convert", first, "-o", folder.file("again.grist"), "--recipe", "int8", "--quiet"]
    let refused = try Command.run(again)
    #expect(refused.code == 64 && refused.error.contains("--again"), "\(refused.error)")
    #expect(try Command.run(again + ["--again"]).code == 0)
    // What was never quantized may be.
    let source = try converted(Command.router, "--recipe", "source")
    #expect(try Command.run("convert", source, "-o", folder.file("q.grist"), "--recipe", "int8", "--quiet").code == 0)
  }

  @Test("19.27: inspect tells that it did not read the chunks, and the verdict names the worst case")
  func inspectAndWorstCase() throws {
    let model = try converted(Command.router, "--recipe", "source")
    #expect(try Command.run("inspect", model).output.contains("the chunks were not read; --check tells"))
    #expect(try Command.run("inspect", model, "--check").output.contains("chunks are whole"))
    let verified = try Command.run(
      "verify", model, "--reference", Command.router, "--prompt", "How are you?", "--text-only", "--max-new-tokens", "1"
    )
    #expect(verified.output.contains("worst case: \"How are you?\": KL 0"), "\(verified.output)")
  }

  @Test("19.23: names from a file cannot forge a line")
  func forgedLine() throws {
    let model = try converted(Command.crop, "--recipe", "source", "--set", "x\nall 9 chunks are whole=f16")
    let output = try Command.run("inspect", model).output
    #expect(!output.split(separator: "\n").contains("all 9 chunks are whole=f16"), "\(output)")
  }
}
