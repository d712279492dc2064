import GristConversion
import GristCore
import GristKernels
import GristModel
import GristSources
import TestSupport
import Testing

/// What transformers computes with the weights of KerasHub's models, as Keras saved them:
/// Tools/reference/write_keras_hub.py.
@Suite("KerasHub's LLaMA and CLIP") struct KerasHubTests {
  private static let compute = Result { Compute(pool: try ThreadPool(threads: 2), activations: .f32) }

  /// A copy of a saved model with a tokenizer beside it.
  private func folder(_ name: String) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    if name.hasSuffix(".keras") {
      _ = try folder.copy(Fixtures.path("keras-hub/\(name)"), to: "model.keras")
    } else {
      for file in ["config.json", "model.weights.h5"] {
        _ = try folder.copy(Fixtures.path("keras-hub/\(name)/\(file)"), to: file)
      }
    }
    _ = try folder.copy(Fixtures.conformanceCheckpoint + "/tokenizer.model", to: "tokenizer.model")
    return folder
  }

  private func converted(_ path: String, in folder: TemporaryFolder) throws -> (file: String, plan: ConversionPlan) {
    let source = try Source.open(path: path)
    let recipe = try Recipe(.source)
    let plan = try ConversionPlan(source, recipe: recipe)
    let file = folder.file("model.grist")
    _ = try Converter(pool: ThreadPool(threads: 2), packing: .zstd).convert(
      source, plan: plan, recipe: recipe, to: file)
    return (file, plan)
  }

  private func difference(_ a: [Float], _ b: [Float]?) -> Float {
    guard let b, a.count == b.count else { return .infinity }
    return zip(a, b).map { abs($0 - $1) }.max() ?? .infinity
  }

  @Test("LLaMA: hidden states, from what Keras saved and from the file", arguments: ["llama", "llama3.keras"])
  func llama(name: String) throws {
    let folder = try folder(name)
    let expected = try #require(Fixtures.json("keras-hub/expected.json")[name])
    let ids = try #require(expected["ids"]?.integers)
    let states = try #require(expected["states"]?.array)
    let (file, plan) = try converted(folder.path, in: folder)
    #expect(plan.architecture == "keras_hub_llama")
    #expect(plan.notes.contains { $0.contains("keras-hub-llama") })
    for path in [folder.path, file] {
      let model = try Source.open(path: path).model(compute: Self.compute.get())
      for (index, state) in states.enumerated() {
        let ours = try model.hiddenState(ofLast: Array(ids[...index]))
        let difference = difference(ours, state.floats)
        #expect(difference < 1e-4, "\(path), token \(index): \(difference)")
      }
    }
  }

  @Test("CLIP's vision encoder: patches' hidden states", arguments: ["clip", "encoder.keras"])
  func clip(name: String) throws {
    let folder = try folder(name)
    let expected = try #require(Fixtures.json("keras-hub/expected.json")[name])
    let pixels = try #require(expected["pixels"]?.floats)
    let states = try #require(expected["states"]?.array)
    let (file, plan) = try converted(folder.path, in: folder)
    #expect(plan.architecture == "keras_hub_clip" && plan.segments.contains { $0.name == "vision.layer.1" })
    let checkpoint = try canonicalCheckpoint(folder.path)
    let json = try JSONReader(JSONValue.parse(#require(checkpoint.sideFile(named: "config.json"))), file: "config.json")
    let tower = try KerasHubCLIP.tower(json)
    let compute = try Self.compute.get()
    for source in [try Source.open(path: folder.path), try Source.open(path: file)] {
      let store = source.parameters(pool: compute.pool)
      let features = try VisionTower(store, tower, layersRun: tower.layers).features([pixels], compute)
      #expect(features.rows == states.count)
      for (row, state) in states.enumerated() {
        let difference = difference(features.row(row), state.floats)
        #expect(difference < 1e-4, "patch \(row): \(difference)")
      }
    }
    let error = try #require(throws: GristError.self) { _ = try Source.open(path: file).model(compute: compute) }
    #expect(error.code == .badData && error.what.contains("a vision tower alone"))
  }

  @Test("an archive is a checkpoint by itself, and its optimizer's state is left out by name")
  func archive() throws {
    let checkpoint = try canonicalCheckpoint(Fixtures.path("keras-hub/llama3.keras"))
    #expect(checkpoint.notes.contains { $0.contains("the optimizer's state") })
    let embeddings = try #require(checkpoint.tensor(named: "model.embed_tokens.weight"))
    #expect(embeddings.sourceName == "layers/llama3_backbone/layers/reversible_embedding/vars/0")
    // Offsets are the archive's.
    #expect(try #require(embeddings.offset) > 1000)
    let whole = try readFile(Fixtures.path("keras-hub/llama3.keras"))
    let there = try #require(whole.slice(Int(embeddings.offset ?? 0), 64))
    #expect(try there.elementsEqual(embeddings.bytes(0..<64)))
    let folder = try folder("llama3.keras")
    #expect(try canonicalCheckpoint(folder.path).fingerprint() == checkpoint.fingerprint())
  }

  @Test("a KerasHub tower can be passed beside a checkpoint that has none")
  func towerOfKeras() throws {
    let (tower, rest) = (try folder("clip"), try TemporaryFolder())
    let whole = try canonicalCheckpoint(Fixtures.path("checkpoints/crop"))
    var writer = SafetensorsWriter()
    for tensor in whole.tensors where !tensor.name.hasPrefix("model.vision_tower.") {
      try writer.add(tensor.name, tensor.elementType, shape: tensor.shape, bytes: tensor.bytes())
    }
    try rest.write("model.safetensors", writer.encoded.array)
    for name in ["config.json", "tokenizer.model"] { _ = try rest.copy(whole.path + "/" + name, to: name) }
    let encoder = try canonicalCheckpoint(tower.path)
    let joined = try canonicalCheckpoint(rest.path, SourceOptions(visionTower: tower.path))
    #expect(
      joined.tensors.count == whole.tensors.filter { !$0.name.hasPrefix("model.vision_tower.") }.count
        + encoder.tensors.count)
    for tensor in encoder.tensors {
      #expect(try joined.tensor(named: tensor.name)?.bytes().elementsEqual(tensor.bytes()) == true)
    }
    let configuration = try ModelConfiguration(path: rest.path) { joined.sideFile(named: $0) }
    #expect(configuration.vision?.tower.patchSize == 4 && configuration.vision?.tower.imageSize == 16)
    let error = try #require(throws: GristError.self) {
      _ = try canonicalCheckpoint(rest.path, SourceOptions(visionTower: Fixtures.path("keras-hub/llama")))
    }
    #expect(error.code == .badData, "\(error)")
  }
}
