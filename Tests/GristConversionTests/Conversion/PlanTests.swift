import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristSources
import TestSupport
import Testing

@Suite("Conversion plans") struct PlanTests {
  let folder = try! TemporaryFolder()

  private func plan(_ path: String, _ name: Recipe.Name = .int4, set overrides: [String] = []) throws -> ConversionPlan
  {
    try ConversionPlan(
      Source.open(path: path), recipe: Recipe(name, overrides: overrides.map { try StorageOverride($0) }))
  }

  private func scheme(_ name: String, in plan: ConversionPlan) -> String? {
    plan.entries.first { $0.tensor.name == name }?.scheme.name
  }

  /// A copy of a fixture whose tensors a test changes.
  private func copy(
    _ path: String, _ change: (SourceTensor) throws -> (String, [Int], [Float])?, extra: [(String, [Int], [Float])] = []
  ) throws -> String {
    var writer = SafetensorsWriter()
    for tensor in try Checkpoint(path: path).tensors {
      if let (name, shape, values) = try change(tensor) {
        try writer.add(name, shape: shape, floats: values)
      } else {
        continue
      }
    }
    for (name, shape, values) in extra { try writer.add(name, shape: shape, floats: values) }
    try folder.write("copy/model.safetensors", writer.encoded.array)
    for name in ["config.json", "vision_tower/config.json"] {
      try folder.write("copy/" + name, readFile(path + "/" + name).array)
    }
    return folder.file("copy")
  }

  private func zeros(_ tensor: SourceTensor) -> (String, [Int], [Float]) {
    (tensor.name, tensor.shape, [Float](repeating: 0, count: tensor.elementCount))
  }

  @Test("segments come in execution order, unused tensors last")
  func order() throws {
    #expect(
      try plan(Sources.sharded).segments.map(\.name) == [
        "embeddings", "vision.embeddings", "vision.layer.0", "vision.layer.1", "projector", "router",
        "language.layer.0", "language.layer.1", "head", "unused",
      ])
    #expect(try plan(Sources.sharded).architecture == "avg_llava")
    #expect(try plan(Sources.crop).architecture == "llava")
    let left = "is no part of the model and is left out"
    #expect(try plan(Sources.sharded).notes.filter { !$0.hasSuffix(left) } == [])
  }

  @Test("every tensor of the source is planned once")
  func complete() throws {
    for path in [Sources.crop, Sources.sharded, Sources.tied] {
      let plan = try plan(path)
      #expect(plan.entries.map(\.tensor.name).sorted() == (try Checkpoint(path: path).tensors.map(\.name)))
      #expect(plan.sourceBytes == (try Checkpoint(path: path).tensors.reduce(0) { $0 + $1.byteCount }))
    }
  }

  @Test("tensors of a layer are together, in the order they are computed with")
  func layer() throws {
    let layer = try #require(plan(Sources.crop).segments.first { $0.name == "language.layer.1" })
    #expect(
      layer.entries.map { $0.tensor.name.dropFirst("model.layers.1.".count) } == [
        "input_layernorm.weight", "self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight",
        "self_attn.o_proj.weight", "post_attention_layernorm.weight", "mlp.gate_proj.weight", "mlp.up_proj.weight",
        "mlp.down_proj.weight",
      ])
  }

  @Test("what each recipe makes of each kind of tensor")
  func recipes() throws {
    let names = [
      "model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "lm_head.weight",
      "model.mm_projector.0.weight", "model.router.merger.linear1.weight", "model.router.voter",
      "model.image_newline", "model.norm.weight", "model.mm_projector.0.bias",
      "model.vision_tower.vision_tower.vision_model.embeddings.position_embedding.weight",
      "model.vision_tower.vision_tower.vision_model.embeddings.patch_embedding.weight",
    ]
    let expected: [(Recipe.Name, matrix: [String])] = [
      (.source, ["bf16", "bf16", "bf16", "bf16", "bf16"]), (.f16, ["f16", "f16", "f16", "f16", "f16"]),
      (.f32, ["f32", "f32", "f32", "f32", "f32"]),
      (.int8, ["int8 g64", "int8 g64 rotated", "int8 g64 rotated", "int8 g64", "int8 g64 rotated"]),
      (.int4, ["int8 g64", "int4 g64 table", "int8 g64 rotated", "int8 g64", "int8 g64 rotated"]),
      (.int4ExactChoices, ["bf16", "int4 g64 table", "int8 g64 rotated", "bf16", "bf16"]),
      // Embeddings, projector and router are what a choice is computed from at the end.
      (.int4All, ["int8 g64", "int4 g64 table", "int4 g64 table", "int8 g64", "int8 g64 rotated"]),
    ]
    for (recipe, matrices) in expected {
      let plan = try plan(Sources.sharded, recipe)
      #expect(names.prefix(5).map { scheme($0, in: plan) } == matrices)
      // Norms, biases, positions, voter and newline stay as they came.
      #expect(names[5...9].map { scheme($0, in: plan) } == Array(repeating: "bf16", count: 5))
    }
    #expect(scheme(names[10], in: try plan(Sources.sharded, .int4All)) == "int4 g64 table")
  }

  @Test("only the table that is looked up by row is laid out by row")
  func layouts() throws {
    func layout(_ name: String, _ path: String) throws -> TensorScheme.GroupedScheme.Layout? {
      guard case .grouped(let grouped)? = try plan(path, .int8).entries.first(where: { $0.tensor.name == name })?.scheme
      else { return nil }
      return grouped.layout
    }
    #expect(try layout("model.embed_tokens.weight", Sources.crop) == .row)
    #expect(try layout("lm_head.weight", Sources.crop) == .tile16)
    // Tied to the head, the table is multiplied with.
    #expect(try layout("model.embed_tokens.weight", Sources.tied) == .tile16)
  }

  @Test("--set: the last match wins, anywhere in the name, and says so")
  func overrides() throws {
    let plan = try plan(
      Sources.crop, .int4, set: ["layers=f16", #"model\.layers\.1\..*_proj=int8:32"#, "^lm_head.weight$=source"])
    #expect(scheme("model.layers.0.mlp.up_proj.weight", in: plan) == "f16")
    #expect(scheme("model.layers.1.mlp.up_proj.weight", in: plan) == "int8 g32")
    #expect(scheme("lm_head.weight", in: plan) == "f16")
    let entry = plan.entries.first { $0.tensor.name == "lm_head.weight" }
    #expect(entry?.reason == "--set ^lm_head.weight$=source")
  }

  @Test("--set that matches nothing is said")
  func overrideWithoutMatch() throws {
    #expect(try plan(Sources.crop, set: ["lyaers=f16"]).notes.contains("--set lyaers=f16 matches no tensor"))
  }

  @Test(
    "--set that makes no sense is 64",
    arguments: [
      "layers", "=int8", "layers=", "layers=int5", "layers=int8:48", "layers=f16:64", "layers=int8:64:1", "(=int8",
      "layers=INT8",
    ])
  func badOverrides(text: String) {
    let error = #expect(throws: GristError.self) { _ = try StorageOverride(text) }
    #expect(error?.code == .usage)
  }

  @Test("--set that asks a vector to be quantized is 64 and names it")
  func vectorOverride() throws {
    let error = #expect(throws: GristError.self) { _ = try plan(Sources.crop, set: ["model.norm.weight=int8"]) }
    #expect(error?.code == .usage)
    #expect(error?.tensor == "model.norm.weight")
    #expect(error?.what == "cannot be stored as int8:64: only matrices can")
  }

  @Test("--set that matches matrices and vectors quantizes the matrices")
  func mixedOverride() throws {
    let entries = try plan(Sources.crop, .source, set: ["model.layers.0=int4-uniform:32"]).entries
    for entry in entries where entry.tensor.name.hasPrefix("model.layers.0.") {
      #expect((entry.scheme.name == "int4 g32") == (entry.tensor.shape.count == 2), "\(entry.tensor.name)")
    }
    #expect(entries.contains { $0.scheme.name == "int4 g32" })
  }

  @Test("a group size the kernels do not know is 64")
  func groupSize() {
    let error = #expect(throws: GristError.self) { _ = try Recipe(.int8, groupSize: 48) }
    #expect(error?.code == .usage)
  }

  @Test("a missing tensor is 65 and is named")
  func missingTensor() throws {
    let path = try copy(Sources.crop) { $0.name == "model.layers.1.mlp.up_proj.weight" ? nil : zeros($0) }
    let error = #expect(throws: GristError.self) { _ = try plan(path) }
    #expect(error?.code == .badData)
    #expect(error?.what == "the checkpoint lacks a tensor that its config.json asks for")
    #expect(error?.tensor == "model.layers.1.mlp.up_proj.weight")
    #expect(error?.file == path)
    #expect(error?.advice == "fetch the checkpoint again")
  }

  @Test("a missing tower is 65, and --vision-tower is what to do")
  func missingTower() throws {
    let path = try copy(Sources.crop) { $0.name.contains("vision_tower") ? nil : zeros($0) }
    let error = #expect(throws: GristError.self) { _ = try plan(path) }
    #expect(error?.code == .badData)
    #expect(error?.advice?.contains("--vision-tower") == true)
  }

  @Test("a tensor of another shape is 65, with both shapes")
  func wrongShape() throws {
    let path = try copy(Sources.crop) {
      $0.name == "model.norm.weight" ? ($0.name, [24, 2], [Float](repeating: 1, count: 48)) : zeros($0)
    }
    let error = #expect(throws: GristError.self) { _ = try plan(path) }
    #expect(error?.code == .badData)
    #expect(error?.tensor == "model.norm.weight")
    #expect(error?.found == "[24, 2] instead of [48]")
    #expect(error?.offset != nil)
  }

  @Test("an unknown tensor is noted and kept, as it came")
  func unknownTensor() throws {
    let path = try copy(Sources.crop, { zeros($0) }, extra: [("model.surprise.weight", [32, 64], values(2048))])
    let plan = try plan(path, .int4All)
    #expect(plan.notes.contains("model.surprise.weight is unknown to the model; it is stored as it came"))
    #expect(plan.segments.last?.name == "other")
    #expect(scheme("model.surprise.weight", in: plan) == "f32")
    #expect(
      scheme("model.surprise.weight", in: try self.plan(path, .int4, set: ["surprise=int8"])) == "int8 g64 rotated")
  }

  @Test("a checkpoint of an unknown architecture converts tensor by tensor, by name")
  func unknownArchitecture() throws {
    let path = try checkpoint(
      [
        ("w", [64, 64], values(4096)), ("norm", [64], values(64)), ("tiny", [2, 4], values(8)),
        ("conv", [32, 4, 4, 4], values(2048)),
      ],
      in: folder)
    let plan = try plan(path)
    #expect(plan.architecture == "unknown")
    #expect(plan.segments.map(\.name) == ["tensors"])
    #expect(
      plan.entries.map { "\($0.tensor.name) \($0.scheme.name)" } == [
        "conv int4 g64 table", "norm f32", "tiny f32", "w int4 g64 table",
      ])
    #expect(plan.notes.contains("the architecture is unknown: tensors are stored by name, but cannot be run"))
    try convert(path, to: folder.file("x.grist"), .int8)
    #expect(try GristFile(path: folder.file("x.grist")).manifest.provenance.architecture == "unknown")
  }

  @Test("19.7: the bound on memory grows with the number of tensors")
  func manyTensors() throws {
    func bound(_ count: Int) throws -> Int {
      var writer = SafetensorsWriter()
      for index in 0..<count { try writer.add("t\(index)", .u8, shape: [1], bytes: Bytes([1])) }
      try folder.write("many/model.safetensors", writer.encoded.array)
      return try plan(folder.file("many"), .source).memoryBound(threads: 2)
    }
    // 100,000 tensors of 16 bytes took 344 MB.
    #expect(try bound(2000) - bound(1000) >= 1000 * 2500)
  }
}
