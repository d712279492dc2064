import GristCore
import GristKernels
import GristModel
import GristSources
import TestSupport

/// A made-up family whose choices are of another shape than AVG-LLaVA's: one for each tile, between two grids, without
/// the prompt's text, by a threshold that all tiles of a picture set together.
struct TileFamily: ModelFamily {
  let name = "tile_chooser"
  let architectures = ["TileChooserForCausalLM"]
  let modelTypes: [String] = []
  let maps: [NameMap] = []
  var patchMerge = VisionInput.PatchMerge.flat

  func configuration(_ json: JSONReader, _ files: SideFiles) throws -> ModelConfiguration {
    // A LLaVA in all but its router.
    let base = try UpstreamLLaVA().configuration(json, files)
    let vision = base.vision.map { input in
      let routing = TileRouting(options: [36, 144], width: base.hiddenSize, patches: input.tower.patches)
      return VisionInput(
        tower: input.tower, towerName: input.towerName, layersRun: input.layersRun, normalization: input.normalization,
        aspectRatio: input.aspectRatio, projectorDepth: input.projectorDepth, patchMerge: patchMerge,
        unpadding: input.unpadding, granularities: routing.options, router: routing)
    }
    return ModelConfiguration(family: name, language: base.language, vision: vision, format: base.format)
  }

  /// The conformance checkpoint with this family's router in place of its own.
  static func checkpoint(in folder: TemporaryFolder) throws -> String {
    let path = try folder.copy(Fixtures.conformanceCheckpoint, to: "tiles")
    var config = try JSONValue.parse(readFile(Fixtures.conformanceCheckpoint + "/config.json")).object ?? JSONObject()
    config["architectures"] = ["TileChooserForCausalLM"]
    config["mm_patch_merge_type"] = "flat"
    config["router_select"] = false
    try folder.write("tiles/config.json", Array(JSONValue.object(config).text().utf8))
    var writer = SafetensorsWriter(metadata: [("format", "pt")])
    let original = try SafetensorsFile(path: Fixtures.conformanceCheckpoint + "/model.safetensors")
    for tensor in original.tensors where !tensor.name.hasPrefix("model.router.") {
      try writer.add(tensor.name, tensor.elementType, shape: tensor.shape, bytes: tensor.bytes())
    }
    let routing = TileRouting(options: [36, 144], width: 128, patches: 576)
    try writer.add(
      routing.score.weight.name, shape: routing.score.weight.shape,
      floats: (0..<256).map { Float(($0 * 37) % 101) / 50 - 1 })
    try writer.add(routing.score.bias.name, shape: routing.score.bias.shape, floats: [0.25, -0.25])
    try folder.write("tiles/model.safetensors", writer.encoded.array)
    return path
  }
}

/// What its configuration says of the router.
struct TileRouting: Routing {
  let options: [Int]
  let width: Int
  let patches: Int

  var score: LinearTensors { LinearTensors("model.router.score", rows: options.count, columns: width, .router) }
  var tensors: [ExpectedTensor] { score.all }
}

extension TileRouting: RunnableRouting {
  func router(_ parameters: any ParameterStore) throws -> any Router {
    TileRouter(routing: self, score: try BiasedLinear(parameters, score))
  }
}

/// What computes it.
struct TileRouter: Router {
  let routing: TileRouting
  let score: BiasedLinear

  func decide(_ input: RouterInput, _ compute: Compute) throws -> RouterDecision {
    let means = FloatMatrix(rows: input.tiles, columns: routing.width)
    for tile in 0..<input.tiles {
      var sums = [Float](repeating: 0, count: routing.width)
      for row in 0..<routing.patches {
        for (column, value) in input.features.row(tile * routing.patches + row).enumerated() { sums[column] += value }
      }
      means.setRow(tile, sums.map { $0 / Float(routing.patches) })
    }
    let scores = score(means, compute)
    try compute.requireFinite(scores, "scores")
    let detail = (0..<input.tiles).map { scores.row($0)[1] - scores.row($0)[0] }
    let threshold = detail.reduce(0, +) / Float(detail.count)
    let choices = detail.indices.map { tile in
      RouterChoice(
        .tile(tile), options: routing.options, scores: scores.row(tile), index: detail[tile] > threshold ? 1 : 0,
        margin: abs(detail[tile] - threshold))
    }
    return RouterDecision(choices, reasons: [.init("threshold", .number(threshold))])
  }
}
