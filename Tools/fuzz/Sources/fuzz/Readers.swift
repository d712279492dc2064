import GristConversion
import GristCore
import GristFormat
import GristImaging
import GristModel
import GristServing
import GristSources
import GristTemplates
import GristVerification

/// A reader that takes bytes from outside. It may throw a `GristError`; anything else that ends it is a fault.
struct FuzzedReader: Sendable {
  let name: String
  let read: @Sendable (Bytes, Scratch) throws -> Void

  static let all = [
    FuzzedReader(name: "json") { bytes, _ in
      // What is understood is written as what is understood again.
      let value = try JSONValue.parse(bytes)
      let again = try JSONValue.parse(value.text())
      guard again == value else { preconditionFailure("JSON changed on its way: \(value.text())") }
    },
    FuzzedReader(name: "safetensors") { bytes, scratch in
      let folder = try scratch.folder(with: "model.safetensors", bytes)
      for tensor in try Checkpoint(path: folder).tensors { _ = try tensor.bytes() }
    },
    FuzzedReader(name: "config") { bytes, _ in
      _ = try ModelConfiguration(path: "model") { $0 == "config.json" ? bytes : nil }.expectedTensors
    },
    FuzzedReader(name: "grist") { bytes, scratch in
      let file = try GristFile(path: scratch.file("model.grist", bytes))
      for chunk in 0..<file.chunkCount { _ = try file.payload(ofChunk: chunk) }
      for record in file.manifest.files { _ = try file.sideFile(named: record.name) }
    },
    FuzzedReader(name: "picture") { bytes, _ in
      // Pictures that are large but sound take long and show nothing.
      let orientation = Orientation(of: bytes)
      let image = try RGBImage(encoded: bytes, name: "picture")
      guard image.width * image.height <= 1 << 20 else { return }
      _ = image.upright(from: orientation)
      let sizes = [(width: 112, height: 56), (width: 56, height: 112), (width: 112, height: 112)]
      _ = try ImagePreprocessor(
        tileSize: 56, mean: [0.5, 0.5, 0.5], standardDeviation: [0.5, 0.5, 0.5],
        aspectRatio: .anyres(gridPinpoints: sizes)
      ).preprocess(image)
    },
    FuzzedReader(name: "tokenizer") { bytes, _ in
      let tokenizer = try BytePairTokenizer(tokenizerFile: bytes, file: "tokenizer.json")
      let ids = try tokenizer.encode("Hello, 世界 <s> 123\u{301}  'll\r\n")
      _ = try tokenizer.decode(ids)
    },
    FuzzedReader(name: "sentencepiece") { bytes, _ in
      let tokenizer = try SentencePieceTokenizer(model: bytes, file: "tokenizer.model")
      let ids = try tokenizer.encode("Hello, 世界 <s> 123\u{301}  'll\r\n")
      _ = try tokenizer.decode(ids + Array(0..<min(tokenizer.vocabularySize, 50)))
    },
    FuzzedReader(name: "template") { bytes, _ in
      guard let text = bytes.utf8 else { return }
      let conversation: JSONObject = [
        "messages": [
          ["role": "system", "content": "Be brief."],
          ["role": "user", "content": [["type": "image"], ["type": "text", "text": "a b\n"]]],
          ["role": "assistant", "content": "é"],
        ],
        "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>",
      ]
      _ = try ChatProgram(text, file: "template").render(
        conversation, limits: ChatProgram.Limits(steps: 200_000, output: 1 << 20))
    },
    FuzzedReader(name: "probes") { bytes, scratch in
      _ = try Question.read(path: scratch.file("probes.json", bytes))
    },
    FuzzedReader(name: "conversation") { bytes, scratch in
      _ = try Question.read(conversation: scratch.file("conversation.json", bytes)).conversation(clock: nil)
    },
    FuzzedReader(name: "request") { bytes, _ in
      do {
        let request = try ChatRequest(body: bytes, allowsRemotePictures: true)
        _ = try request.conversation.rendering(.builtIn(.vicuna))
        // What is understood has a picture for each place.
        guard request.pictures.count == request.conversation.pictures else {
          preconditionFailure("\(request.pictures.count) pictures in \(request.conversation.pictures) places")
        }
      } catch let error as ServingError {
        _ = error.json.text()
      }
    },
    FuzzedReader(name: "record") { bytes, _ in
      let record = try ReferenceRecord(bytes, path: "record")
      _ = try record.encoded()
    },
    FuzzedReader(name: "statistics") { bytes, scratch in
      let statistics = try InputStatistics(path: scratch.file("stats", bytes))
      for name in statistics.matrixNames.prefix(4) { _ = statistics.feedback(for: name) }
    },
    FuzzedReader(name: "torch") { bytes, scratch in
      for tensor in try Checkpoint(path: scratch.file("model.bin", bytes)).tensors { _ = try tensor.bytes() }
    },
    FuzzedReader(name: "pickle") { bytes, scratch in
      for tensor in try Checkpoint(path: scratch.file("model.bin", TorchArchive.around(bytes))).tensors {
        _ = try tensor.bytes()
      }
    },
    FuzzedReader(name: "map") { bytes, _ in
      guard let text = bytes.utf8 else { return }
      _ = try NameMap(text, file: "names.map")
    },
    FuzzedReader(name: "keras") { bytes, scratch in
      // The helper is not there: what is fuzzed is the archive around the HDF5.
      _ = try Checkpoint(path: scratch.file("model.keras", bytes), hdf5Helper: "/nowhere")
    },
  ]
}
