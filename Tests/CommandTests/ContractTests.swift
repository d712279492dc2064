import Foundation
import GristCore
import TestSupport
import Testing

/// The fields of `--json` that the design promises.
@Suite("The command's contract", .serialized) struct ContractTests {
  let folder = try! TemporaryFolder()

  private func convert(_ source: String, _ recipe: String, to name: String = "m.grist") throws -> String {
    let result = try Command.run("convert", source, "-o", folder.file(name), "--recipe", recipe, "--quiet")
    #expect(result.code == 0, "\(result.error)")
    #expect(result.output == "")
    return folder.file(name)
  }

  @Test("convert --json is one document")
  func convertJSON() throws {
    let result = try Command.run("convert", Command.crop, "-o", folder.file("m.grist"), "--recipe", "int8", "--json")
    let document = try result.document()
    for name in ["output", "recipe", "bytes", "source_bytes", "tensors", "notes"] { #expect(document[name] != nil) }
    #expect(document["bytes"]?.integer == (try readFile(folder.file("m.grist")).count))
    #expect(folder.contents == ["m.grist"])
  }

  @Test("convert --dry-run --json shows every tensor and writes nothing")
  func dryRunJSON() throws {
    let document = try Command.run(
      "convert", Command.crop, "-o", folder.file("m.grist"), "--dry-run", "--json"
    ).document()
    #expect(document["tensors"]?.array?.count == 80)
    #expect(
      document["tensors"]?.array?.first?.names == ["name", "segment", "shape", "source", "scheme", "bytes", "reason"])
    #expect(folder.contents == [])
  }

  @Test("convert writes the same bytes for any number of threads")
  func threads() throws {
    for threads in ["1", "4"] {
      let result = try Command.run(
        "convert", Command.router, "-o", folder.file(threads), "--threads", threads, "--quiet")
      #expect(result.code == 0)
    }
    #expect(try readFile(folder.file("1")).elementsEqual(readFile(folder.file("4"))))
  }

  @Test("run --show draws the picture beside the answer")
  func show() throws {
    let arguments = ["run", Command.router, "--prompt", "What is it?", "--max-new-tokens", "2"]
    let picture = ["--image", Fixtures.conformanceImages + "/china.jpg"]
    let plain = try Command.run(arguments + picture)
    let shown = try Command.run(arguments + picture + ["--show"])
    #expect(shown.code == 0 && shown.output == plain.output)
    let lines = shown.error.split(separator: "\n", omittingEmptySubsequences: false)
    // The picture is half as high again as wide: 48 characters, of two pixels each.
    #expect(plain.error.split(separator: "\n").count == 1 && (15...20).contains(lines.count - 2), "\(lines.count)")
    #expect(lines.dropLast(2).allSatisfy { $0.contains("▀") || $0.contains { " ░▒▓█".contains($0) } })
    #expect(try Command.run(arguments + ["--show"]).code == 64)
    let told = try Command.run(arguments + picture + ["--show", "--json", "--quiet"])
    let grid = try #require(told.document()["grid"]?.object)
    #expect(told.error == "" && grid["columns"]?.array?.isEmpty == false && grid["down"]?.array?.count == 2)
  }

  @Test("inspect --json")
  func inspectJSON() throws {
    let model = try convert(Command.crop, "int4-all")
    let document = try Command.run("inspect", model, "--json", "--check").document()
    #expect(document["version"] == 1 && document["recipe"] == "int4-all" && document["checked"] == true)
    #expect(document["bytes"]?.integer == (try readFile(model).count))
    let tensors = try #require(document["tensors"]?.array)
    #expect(tensors.count == 80)
    for tensor in tensors {
      for name in ["name", "shape", "scheme", "bytes", "bits_per_weight", "relative_error"] {
        #expect(tensor[name] != nil)
      }
      if tensor["scheme"] == "int4 g64" { #expect((0.01...0.2).contains(tensor["relative_error"]?.double ?? 0)) }
    }
    let some = try Command.run("inspect", model, "--json", "--tensors", "lm_head").document()
    #expect(some["tensors"]?.array?.map { $0["name"] } == ["lm_head.weight"])
  }

  @Test("inspect for people")
  func inspectText() throws {
    let result = try Command.run("inspect", convert(Command.crop, "int8"), "--check")
    #expect(result.code == 0)
    #expect(result.output.contains("\nhead ") && result.output.contains("language.layer × "))
    #expect(result.output.contains("chunks are whole"))
    // One screen.
    let lines = result.output.split(separator: "\n")
    #expect(lines.count <= 40 && lines.dropFirst().allSatisfy { $0.count <= 100 }, "\(result.output)")
    let some = try Command.run("inspect", convert(Command.crop, "int8"), "--tensors", "lm_head|norm")
    #expect(some.output.contains("\nlm_head.weight ") && !some.output.contains("q_proj"))
  }

  @Test("run --json with a picture")
  func runJSON() throws {
    let model = try convert(Command.router, "source")
    let arguments = [
      "run", model, "--image", Command.picture, "--prompt", "What is this?", "--max-new-tokens", "3", "--json",
    ]
    let document = try Command.run(arguments + ["--logits"]).document()
    #expect(
      document.names == [
        "router", "granularity", "tiles", "sequence_length", "input_ids", "logits_last", "tokens", "text", "ending",
        "template", "timing",
      ])
    let router = try #require(document["router"])
    #expect(router["granularities"]?.integers == [36, 72, 144, 288, 576])
    #expect(router["logits"]?.floats.count == 5)
    #expect(router["choice"] == document["granularity"])
    #expect(document["input_ids"]?.integers.filter { $0 == -200 }.count == 1)
    #expect(document["logits_last"]?.array?.count == 1024)
    #expect((1...3).contains(document["tokens"]?.array?.count ?? 0))
    #expect(document["text"]?.string != nil && document["timing"]?.object != nil)

    let forced = try Command.run(arguments + ["--granularity", "144"]).document()
    #expect(forced["granularity"] == 144)
    #expect(forced["logits_last"] == nil)
    // The file and the folder it came from say the same.
    let reference = try Command.run(["run", Command.router] + arguments.dropFirst(2) + ["--logits"]).document()
    #expect(reference["logits_last"] == document["logits_last"])
    #expect(reference["router"] == document["router"])
  }

  @Test("run --json without a picture: no router, no granularity")
  func runTextOnly() throws {
    let document = try Command.run(
      "run", Command.crop, "--prompt", "Hello", "--max-new-tokens", "2", "--json", "--logits"
    ).document()
    #expect(document["router"] == .some(.null) && document["granularity"] == .some(.null))
    #expect(document["tiles"] == 0)
    #expect(document["sequence_length"]?.integer == document["input_ids"]?.array?.count)
  }

  @Test("run for people: the answer on standard output, everything else beside it")
  func runText() throws {
    let arguments = ["run", Command.crop, "--prompt", "Hello", "--max-new-tokens", "4"]
    let document = try Command.run(arguments + ["--json"]).document()
    let result = try Command.run(arguments)
    #expect(result.code == 0)
    #expect(result.output == (document["text"]?.string ?? "") + "\n")
    #expect(result.error.hasPrefix("["))
    #expect(try Command.run(arguments + ["--quiet"]).error == "")
  }

  @Test("verify --json: passes against its own source, 0")
  func verifyJSON() throws {
    let model = try convert(Command.router, "source")
    let result = try Command.run(
      "verify", model, "--reference", Command.router, "--image", Command.picture, "--prompt", "What is this?",
      "--max-new-tokens", "3", "--json")
    #expect(result.code == 0)
    let document = try result.document()
    #expect(document["passed"] == true)
    let router = try #require(document["router"])
    #expect(router["agree"] == 1 && router["of"] == 1 && router["ties"] == 0)
    let outputs = try #require(document["outputs"])
    for name in [
      "top1_agreement", "kl_mean", "kl_median", "kl_p99", "kl_max", "max_abs_logit_difference", "greedy_match_mean",
    ] { #expect(outputs[name]?.double != nil, "\(name)") }
    #expect(outputs["max_abs_logit_difference"] == 0.0 && outputs["kl_max"]?.double == 0)
    let item = try #require(document["cases"]?.array?.first)
    for name in [
      "image", "prompt", "reference_choice", "choice", "reference_logits", "logits", "filter_set_equal",
      "filter_order_equal", "kl_mean",
    ] { #expect(item[name] != nil, "\(name)") }
    #expect(item["filter_order_equal"] == true)
  }

  @Test("verify against another checkpoint's answers says no: 1, and still one document")
  func verifyFails() throws {
    let model = try convert(Command.crop, "source")
    let arguments = [
      "verify", model, "--reference", Fixtures.path("checkpoints/llava15-pad"), "--prompt", "What is this?",
      "--max-new-tokens", "3", "--max-kl", "0.000001",
    ]
    let result = try Command.run(arguments + ["--json"])
    #expect(result.code == 1)
    #expect(try result.document()["passed"] == false)
    let text = try Command.run(arguments)
    #expect(text.code == 1)
    #expect(text.output.contains("FAILED: "))
  }

  @Test("bench --json")
  func benchJSON() throws {
    let model = try convert(Command.router, "int4")
    let arguments = ["bench", model, "--prefill", "8,32", "--depths", "0,32", "--decode-tokens", "2"]
    let document = try Command.run(arguments + ["--json", "--threads", "1"]).document()
    #expect(
      document.names == [
        "model", "recipe", "packing", "threads", "isa", "activations", "repetitions", "open_ms", "first_row_ms",
        "tower", "router", "prefill", "decode", "weight_bytes_per_token", "operations_per_row", "cache_bytes_per_token",
        "peak_resident_bytes", "limits",
      ])
    #expect(document["recipe"] == "int4" && document["packing"] == "zstd" && document["threads"] == 1)
    #expect(document["tower"]?.names == ["tiles", "s_per_tile"] && document["router"]?.names == ["tiles", "ms"])
    #expect(document["prefill"]?.array?.map { $0["tokens"] } == [8, 32])
    #expect(document["prefill"]?.array?.first?.names == ["tokens", "s", "tokens_per_s", "of_limit"])
    #expect(document["decode"]?.array?.map { $0["depth"] } == [0, 32])
    #expect(
      document["decode"]?.array?.first?.names == [
        "depth", "tokens", "tokens_per_s", "of_limit", "memory_read_bytes_per_s",
      ])
    #expect(document["limits"]?.names == ["memory_read_bytes_per_s", "int8_operations_per_s"])

    let text = try Command.run(arguments + ["--text-only"])
    #expect(text.code == 0 && text.error == "")
    #expect(text.output.contains("decoding after 32") && !text.output.contains("tower"))
  }

  @Test(
    "an interrupted conversion ends with 130 and leaves nothing, hidden files included", arguments: [SIGINT, SIGTERM])
  func interrupted(signal: Int32) throws {
    // 256 MB of weights take seconds on any machine.
    let rows = 32_768
    let header = Array(#"{"w":{"dtype":"BF16","shape":[\#(rows),4096],"data_offsets":[0,\#(rows * 8192)]}}"#.utf8)
    var bytes = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) } + header
    var state: UInt32 = 1
    let block = (0..<4096).flatMap { _ -> [UInt8] in
      state = state &* 1_664_525 &+ 1_013_904_223
      return [UInt8(truncatingIfNeeded: state >> 16), 0x3c]
    }
    for _ in 0..<rows { bytes += block }
    try folder.write("source/model.safetensors", bytes)
    let old = Array("GRIST, an old one".utf8)
    try folder.write("out/old.grist", old)
    let running = try Command.Running([
      "convert", folder.file("source"), "-o", folder.file("out/old.grist"), "--recipe", "int4-all", "--threads", "1",
    ])
    // Its lock is there once it writes.
    for _ in 0..<2000 where fileKind(at: folder.file("out/.old.grist.lock")) == nil { usleep(5000) }
    #expect(fileKind(at: folder.file("out/.old.grist.lock")) == .file)
    kill(running.process.processIdentifier, signal)
    let result = try running.wait()
    #expect(result.code == 130)
    #expect(result.output == "")
    #expect(result.error.contains("gristmill: interrupted"), "\(result.error)")
    #expect(try folderContents(folder.file("out")) == ["old.grist"])
    #expect(try readFile(folder.file("out/old.grist")).array == old)
  }

  @Test("align: parts, joined, trained; one document, and exit codes")
  func align() throws {
    let checkpoint = Fixtures.conformanceCheckpoint
    let model = try convert(checkpoint, "int4-all")
    let lines = (0..<3).map {
      #"{"question_id": \#($0), "image": "flower_tiny.jpg", "text": "What is it, \#($0)?", "answer": "a thing"}"#
    }
    let questions = try folder.write("q.jsonl", Array(lines.joined(separator: "\n").utf8))
    let asked = ["align", model, "--questions", questions, "--images", Fixtures.conformanceImages]
    for part in ["1", "2"] {
      let result = try Command.run(asked + ["--part", "\(part)/2", "--feedback", folder.file("f\(part)"), "--json"])
      #expect(try result.document().object?.names == ["feedback", "questions"], "\(result.error)")
    }
    let merged = try Command.run("merge", folder.file("f2"), folder.file("f1"), "-o", folder.file("f"))
    #expect(merged.code == 0 && merged.output.contains("3 questions with feedback of 2 parts"))
    let trained = ["--feedback", folder.file("f"), "--epochs", "2", "-o", folder.file("a.grist"), "--json"]
    let document = try Command.run(asked + trained).document()
    #expect(document["steps"]?.integer == 2 && document["learned"]?["after"]?["counts"]?.array?.count == 5)
    // Another training of the same feedback takes the first one's place beside it.
    let again = try Command.run(asked + trained.dropLast(2) + [folder.file("c.grist"), "--json", "--alpha", "1"])
    #expect(again.code == 0 && again.output.contains("\"steps_now\": 2"), "\(again.error)")
    let verified = try Command.run(
      "verify", folder.file("a.grist"), "--reference", checkpoint, "--image",
      Fixtures.conformanceImages + "/flower_tiny.jpg", "--prompt", "What is it?", "--max-kl", "10")
    #expect(verified.code == 0 && verified.output.contains("aligned: its choices are its own"), "\(verified.error)")
    #expect(try Command.run("inspect", folder.file("a.grist")).output.contains("router aligned on 3 questions"))
    #expect(try Command.run(asked).code == 64)
    #expect(try Command.run(asked + ["-o", folder.file("b.grist"), "--training-memory", "1MiB"]).code == 64)
    #expect(try Command.run(asked + ["-o", folder.file("b.grist"), "--feedback", model]).code == 74)
    #expect(try Command.run(["align", checkpoint] + asked[2...] + ["-o", folder.file("b.grist")]).code == 64)
    #expect(!folder.contents.contains("b.grist"))
  }
}
