import Foundation
import GristCore
import TestSupport
import Testing

/// Published checkpoints by way of the command: what is said, and what needn't be said again.
@Suite("The door: the command") struct DoorTests {
  private let folder = try! TemporaryFolder()

  /// A checkpoint without its tower, which lies in a folder of its own.
  private func split() throws -> (checkpoint: String, tower: String) {
    let source = Command.crop
    let checkpoint = try folder.copy(source, to: "checkpoint")
    let script = """
      import json, pathlib, struct, sys
      folder, tower = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
      data = (folder / "model.safetensors").read_bytes()
      n = struct.unpack("<Q", data[:8])[0]
      header = json.loads(data[8:8 + n]); header.pop("__metadata__", None)
      def save(path, keep):
          body, entries = b"", {}
          for name, entry in header.items():
              new = keep(name)
              if new is None: continue
              part = data[8 + n:][slice(*entry["data_offsets"])]
              entries[new] = entry | {"data_offsets": [len(body), len(body) + len(part)]}
              body += part
          text = json.dumps(entries).encode()
          path.write_bytes(struct.pack("<Q", len(text)) + text + body)
      prefix = "model.vision_tower.vision_tower."
      tower.mkdir()
      save(tower / "model.safetensors", lambda name: name.removeprefix(prefix) if name.startswith(prefix) else None)
      (tower / "config.json").write_text((folder / "vision_tower/config.json").read_text())
      save(folder / "model.safetensors", lambda name: None if name.startswith(prefix) else name)
      import shutil; shutil.rmtree(folder / "vision_tower")
      """
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["python3", "-c", script, checkpoint, folder.file("tower")]
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    return (checkpoint, folder.file("tower"))
  }

  @Test("verify needs neither the tower nor the template again that the file keeps")
  func saidOnce() throws {
    let (checkpoint, tower) = try split()
    let model = folder.file("m.grist")
    let converted = try Command.run(
      "convert", checkpoint, "-o", model, "--recipe", "source", "--vision-tower", tower, "--template", "mistral")
    #expect(converted.code == 0, "\(converted.error)")
    let arguments = [
      "verify", model, "--reference", checkpoint, "--prompt", "Hi", "--image",
      Fixtures.conformanceImages + "/flower_tiny.jpg", "--max-new-tokens", "2", "--json",
    ]
    let verified = try Command.run(arguments)
    #expect(verified.code == 0, "\(verified.error)")
    // Without a file that keeps it, the tower has to be named.
    let alone = try Command.run(["run", checkpoint, "--prompt", "Hi"])
    #expect(alone.code == 66 && alone.error.contains("--vision-tower"))
    let lossy = try Command.run(
      "convert", checkpoint, "-o", model, "--recipe", "int8", "--vision-tower", tower, "--template", "mistral")
    #expect(lossy.code == 0)
    let refused = try Command.run(arguments)
    #expect(refused.code == 65 && refused.error.contains("--vision-tower"), "\(refused.error)")
  }

  @Test("a conversation that the folder's name told is kept by the file")
  func conversation() throws {
    let checkpoint = try folder.copy(Command.crop, to: "llava-v1.6-mistral-7b")
    let model = folder.file("m.grist")
    let converted = try Command.run("convert", checkpoint, "-o", model, "--recipe", "source")
    #expect(
      converted.error.contains("note: it will be asked as mistral_instruct asks, as it is called llava-v1.6-mistral-7b")
    )
    let told = try Command.run("run", checkpoint, "--prompt", "Hi", "--max-new-tokens", "1")
    #expect(told.error.contains("[asked as mistral_instruct asks, as it is called llava-v1.6-mistral-7b;"))
    for path in [checkpoint, model] {
      let answer = try Command.run("run", path, "--prompt", "Hi", "--max-new-tokens", "1", "--json")
      #expect(try JSONValue.parse(answer.output)["template"] == "mistral_instruct")
    }
    let other = try Command.run(
      "run", model, "--prompt", "Hi", "--max-new-tokens", "1", "--json", "--template", "llava_v1")
    #expect(try JSONValue.parse(other.output)["template"] == "llava_v1")
  }

  @Test("sampling settings are told with an answer and by inspect; greedy it is unless asked")
  func sampling() throws {
    let checkpoint = try folder.copy(Command.crop, to: "checkpoint")
    try folder.write(
      "checkpoint/generation_config.json", Array(#"{"do_sample": true, "temperature": 0.6, "top_p": 0.9}"#.utf8))
    let settings = "do_sample, temperature 0.6, top_p 0.9"
    let greedy = try Command.run("run", checkpoint, "--prompt", "Hi", "--max-new-tokens", "1")
    #expect(greedy.error.contains("greedy; its generation_config.json asks for \(settings)"))
    let drawn = try Command.run("run", checkpoint, "--prompt", "Hi", "--max-new-tokens", "1", "--temperature", "0.6")
    #expect(!drawn.error.contains("generation_config"))
    let model = folder.file("m.grist")
    #expect(try Command.run("convert", checkpoint, "-o", model, "--recipe", "source", "--quiet").code == 0)
    let lines = try Command.run("inspect", model).output.split(whereSeparator: \.isWhitespace)
    #expect(lines.joined(separator: " ").contains("generation_config.json says \(settings)"))
  }

  @Test("a picture is turned as its EXIF data say where that is asked, and in no other case by upstream's models")
  func orientation() throws {
    func rows(_ arguments: String...) throws -> JSONValue? {
      let answer = try Command.run(
        ["run", Command.crop, "--prompt", "Hi", "--max-new-tokens", "1", "--json", "--logits"] + arguments)
      #expect(answer.code == 0, "\(answer.error)")
      return try JSONValue.parse(answer.output)["logits_last"]
    }
    let turned = Fixtures.path("orientation/exif-3.jpg")
    let plain = try rows("--image", Fixtures.path("orientation/plain.jpg"))
    #expect(try rows("--image", turned) == plain)
    #expect(try rows("--image", turned, "--orientation", "ignore") == plain)
    #expect(try rows("--image", turned, "--orientation", "apply") != plain)
  }
}
