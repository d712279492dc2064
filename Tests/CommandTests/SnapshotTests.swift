import Foundation
import GristCore
import TestSupport
import Testing

/// Texts that people read, kept as they are in Snapshots/. `GRISTMILL_RECORD=1` in the environment writes them anew.
@Suite("Exact texts") struct SnapshotTests {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Snapshots"
  private static let records = ProcessInfo.processInfo.environment["GRISTMILL_RECORD"] == "1"

  private func check(_ text: String, _ name: String) throws {
    let path = "\(Self.folder)/\(name).txt"
    if Self.records {
      try FileManager.default.createDirectory(atPath: Self.folder, withIntermediateDirectories: true)
      try writeFile(path, Bytes(Array(text.utf8)))
    }
    #expect(try readFile(path).utf8 == text, "\(name) differs: is the change meant?")
  }

  @Test(
    "help",
    arguments: [
      "", "convert", "run", "record", "verify", "inspect", "diff", "export", "sign", "verify-signature", "bench",
    ])
  func help(command: String) throws {
    let result = try Command.run((command.isEmpty ? [] : [command]) + ["--help"])
    #expect(result.code == 0)
    #expect(result.error == "")
    try check(result.output, "help" + (command.isEmpty ? "" : "-" + command))
  }

  @Test("the dry run of the conversion of a small checkpoint")
  func dryRun() throws {
    let result = try Command.run(
      "convert", "crop", "-o", "x.grist", "--dry-run", "--threads", "1", in: Fixtures.path("checkpoints"))
    #expect(result.code == 0)
    try check(result.output, "dry-run")
  }

  @Test("the version")
  func version() throws {
    let result = try Command.run("--version")
    #expect(result.code == 0)
    #expect(result.output == "gristmill \(gristmillVersion)\n")
  }

  static let usage: [[String]] = [
    ["convert", "crop", "-o", "x.grist", "--frobnicate"], ["convert", "crop"], ["convert", "-o", "x.grist"],
    ["convert", "crop", "-o", "x.grist", "--recipe", "int3"], ["convert", "crop", "-o", "x.grist", "--set", "layers"],
    ["convert", "crop", "-o", "x.grist", "--set", "layers=int5"],
    ["convert", "crop", "-o", "x.grist", "--set", "(=int8"], ["convert", "crop", "-o", "x.grist", "--pack", "gzip"],
    ["convert", "crop", "-o", "x.grist", "--group-size", "48"], ["convert", "crop", "-o", "x.grist", "--threads", "0"],
    ["convert", "crop", "-o", "x.grist", "--set", "model.norm=int8"],
    ["run", "crop"], ["run", "crop", "--prompt", "x", "--granularity", "36"],
    ["run", "crop", "--prompt", "x", "--max-new-tokens", "-1"],
    ["run", "crop", "--prompt", "x", "--temperature", "-1"],
    ["run", "crop", "--prompt", "x", "--top-p", "0"], ["verify", "crop", "--image", "x.jpg"],
    ["verify", "crop", "--prompt", "x", "--probes", "y"], ["verify", "crop", "--prompt", "x", "--max-kl", "-1"],
    ["record", "crop", "--probes", "p.json"], ["record", "crop", "--probes", "p.json", "-o", "a", "--into", "b"],
    ["bench", "crop", "--repetitions", "0"], ["bench", "crop", "--decode-tokens", "0"],
    ["bench", "crop", "--prefill", "8,,9"], ["bench", "crop", "--prefill", "0"],
    ["bench", "crop", "--depths", "9999999"],
    ["mill"], ["inspect", "x.grist", "--tensors", "("],
  ]

  @Test("requests that make no sense: 64 and one exact sentence")
  func usage() throws {
    var text = ""
    for arguments in Self.usage {
      let result = try Command.run(arguments, in: Fixtures.path("checkpoints"))
      #expect(result.code == 64, "\(arguments): \(result.error)")
      #expect(result.output == "")
      text += "$ gristmill \(arguments.joined(separator: " "))\n\(result.error)\n"
    }
    try check(text, "errors-usage")
  }

  @Test("inputs that are missing or bad: their code and one exact sentence")
  func inputs() throws {
    let folder = try TemporaryFolder()
    _ = try folder.copy(Command.crop, to: "cut")
    let weights = try readFile(folder.file("cut/model.safetensors")).array
    try folder.write("cut/model.safetensors", Array(weights[..<300_000]))
    _ = try folder.copy(Fixtures.path("checkpoints/bf16-sharded"), to: "shards")
    try FileManager.default.removeItem(atPath: folder.file("shards/model-00002-of-00003.safetensors"))
    try folder.write("empty/config.json", Array("{}".utf8))
    try folder.write("unknown/config.json", Array(#"{"architectures": ["GPT2"]}"#.utf8))
    try folder.write("unknown/model.safetensors", [2, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8))
    try folder.write("text.grist", Array("hello".utf8))
    _ = try folder.copy(Command.crop, to: "crop")
    // Raw, because what zstd makes of it depends on its version.
    let good = try Command.run(
      "convert", "crop", "-o", "good.grist", "--recipe", "source", "--pack", "raw", "--quiet", in: folder.path)
    #expect(good.code == 0)
    var bytes = try readFile(folder.file("good.grist")).array
    try folder.write("short.grist", bytes.dropLast(100))
    bytes[70_000] ^= 1
    try folder.write("damaged.grist", bytes)
    try folder.write("no.jpg", Array("not a picture".utf8))
    try folder.write("probes.json", Array(#"[{"image": "nowhere.jpg", "prompt": "What?"}]"#.utf8))
    let before = folder.contents

    let cases: [(Int32, [String])] = [
      (66, ["convert", "nowhere", "-o", "x.grist"]), (65, ["convert", "cut", "-o", "x.grist"]),
      (66, ["convert", "shards", "-o", "x.grist"]), (66, ["convert", "empty", "-o", "x.grist"]),
      (74, ["convert", "crop", "-o", "no/x.grist"]), (64, ["convert", "crop", "-o", "shards"]),
      (66, ["convert", "crop", "-o", "x.grist", "--vision-tower", "nowhere"]),
      (64, ["convert", "good.grist", "-o", "x.grist", "--vision-tower", "crop"]),
      (65, ["convert", "damaged.grist", "-o", "x.grist"]), (65, ["convert", "text.grist", "-o", "x.grist"]),
      (66, ["inspect", "nowhere.grist"]), (65, ["inspect", "text.grist"]), (65, ["inspect", "short.grist"]),
      (65, ["inspect", "damaged.grist", "--check"]), (65, ["inspect", "crop"]),
      (66, ["run", "nowhere", "--prompt", "x"]), (65, ["run", "unknown", "--prompt", "x"]),
      (66, ["run", "crop", "--prompt", "x", "--image", "nowhere.jpg"]),
      (65, ["run", "crop", "--prompt", "x", "--image", "no.jpg"]),
      (64, ["run", "crop", "--prompt", "x", "--image", "\(Command.picture)", "--granularity", "37"]),
      (66, ["verify", "good.grist", "--reference", "nowhere", "--prompt", "x"]),
      (66, ["verify", "good.grist", "--reference", "crop", "--probes", "nowhere.json"]),
      (66, ["verify", "good.grist", "--reference", "crop", "--probes", "probes.json"]),
      (64, ["verify", "good.grist"]),
    ]
    var text = ""
    for (code, arguments) in cases {
      let result = try Command.run(arguments + ["--threads", "1"], in: folder.path)
      #expect(result.code == code, "\(arguments): \(result.error)")
      #expect(result.output == "")
      let shown = arguments.map { $0.hasPrefix("/") ? fileName(of: $0) : $0 }
      let error = result.error.split(separator: "\n").filter { !$0.hasPrefix("note: ") }.joined(separator: "\n")
      text += "$ gristmill \(shown.joined(separator: " "))\n\(error)\n\n"
    }
    #expect(folder.contents == before)
    try check(text, "errors-input")
  }
}
