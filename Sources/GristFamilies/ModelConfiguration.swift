import GristCheckpoints
import GristCore

/// The shape of an AVG-LLaVA (or LLaVA-1.5 / LLaVA-NeXT) checkpoint in upstream's naming, from its `config.json`.
public struct ModelConfiguration: Sendable {
  /// What becomes of an image before the tower sees it.
  public enum AspectRatio: Sendable, Equatable {
    /// The whole image, then tiles of the best fitting of these sizes (width, height).
    case anyResolution([[Int]])
    /// One tile: padded to a square.
    case pad
    /// One tile: shortest edge and centre crop.
    case crop
  }

  /// How the tiles' tokens are put together.
  public enum PatchMerge: Sendable, Equatable {
    case flat
    /// `unpad`: rows and columns that only show padding are dropped, and every row ends in the newline embedding.
    case spatial(unpad: Bool)
  }

  public struct Router: Sendable, Equatable {
    /// How many of the prompt's tokens the router sees.
    public let filteredTextTokens: Int
    /// Heads of the merger's attention.
    public let heads: Int
    /// Feed-forward width is the hidden size; LayerNorm epsilon as in PyTorch's default.
    public let layerNormEpsilon: Float
  }

  public let vocabularySize: Int
  public let hiddenSize: Int
  public let intermediateSize: Int
  public let layers: Int
  public let heads: Int
  public let keyValueHeads: Int
  public let headDimension: Int
  public let rmsNormEpsilon: Float
  public let rotary: RotaryEmbedding
  public let tiesWordEmbeddings: Bool
  /// Longest prompt in tokens, image rows counted in.
  public let maximumLength: Int

  /// Linear layers of the projector; between them stand GELUs.
  public let projectorDepth: Int
  /// Nil for a text-only checkpoint.
  public let vision: VisionConfiguration?
  /// Name of the tower upstream, for messages.
  public let visionTowerName: String
  /// Tower layers that are run.
  public let visionLayersRun: Int
  public let normalization: ImageNormalization
  public let aspectRatio: AspectRatio
  public let patchMerge: PatchMerge
  /// Tokens a tile, coarsest first as in the file: the router's outputs in order. Without a router: all patches.
  public let granularities: [Int]
  public let router: Router?

  /// Names of upstream's architecture in `config.json`.
  public static let architectures = ["LlavaLlamaForCausalLM", "LlavaAVGLlamaForCausalLM"]

  /// Whether this version knows the architecture that `config.json` names.
  public static func isKnown(_ json: JSONReader) -> Bool {
    let names = json.value("architectures")?.array?.compactMap(\.string) ?? []
    if names.isEmpty { return ["llava_llama", "llava"].contains(json.value("model_type")?.string ?? "") }
    return names.contains { architectures.contains($0) }
  }

  /// Reads the configuration out of a model's side files.
  ///
  /// - Parameters:
  ///   - file: finds a side file by name; the tower's are under `vision_tower/`. What it throws is thrown on.
  ///   - path: the model, for messages.
  ///   - ignored: keys that would be refused, which the user knows to change nothing.
  ///
  /// Throws 66 when `config.json` or the tower's configuration is missing, 65 naming the field that makes no sense or
  /// asks for something this version does not compute.
  public init(path: String, ignoring ignored: Set<String> = [], file: (String) throws -> Bytes?) throws {
    func reader(_ name: String) throws -> JSONReader? {
      guard let bytes = try file(name) else { return nil }
      let place = joinPath(path, name)
      return try JSONReader(locating(file: place) { try JSONValue.parse(bytes) }, file: place)
    }
    guard let json = try reader("config.json") else {
      throw GristError(.missingInput, "the model has no config.json", file: path)
    }
    guard Self.isKnown(json) else {
      throw GristError(
        .badData, "this version cannot run the architecture", file: json.file,
        found: json.value("architectures")?.text() ?? "none",
        advice: "it runs " + Self.architectures.joined(separator: ", "))
    }
    try ConfigurationKeys.model.check(json, ignoring: ignored)
    vocabularySize = try json.integer("vocab_size", in: 1...16_777_216)
    hiddenSize = try json.integer("hidden_size", in: 1...65_536)
    intermediateSize = try json.integer("intermediate_size", in: 1...1_048_576)
    layers = try json.integer("num_hidden_layers", in: 1...1024)
    heads = try json.integer("num_attention_heads", in: 1...1024)
    keyValueHeads = try json.integer("num_key_value_heads", in: 1...1024, default: heads)
    guard heads % keyValueHeads == 0 else { throw json.failure("num_key_value_heads", "a divisor of \(heads) heads") }
    if json.has("head_dim") {
      headDimension = try json.integer("head_dim", in: 2...4096)
    } else {
      guard hiddenSize % heads == 0 else { throw json.failure("num_attention_heads", "a divisor of hidden_size") }
      headDimension = hiddenSize / heads
    }
    guard headDimension % 2 == 0 else {
      throw json.failure("num_attention_heads", "such that a head's width is even")
    }
    rmsNormEpsilon = Float(try json.double("rms_norm_eps", default: 1e-6))
    guard rmsNormEpsilon.isFinite, rmsNormEpsilon >= 0 else { throw json.failure("rms_norm_eps", "0 or more") }
    rotary = try RotaryEmbedding(json)
    tiesWordEmbeddings = try json.bool("tie_word_embeddings", default: false)
    maximumLength = try json.integer(
      "tokenizer_model_max_length", in: 1...16_777_216,
      default: json.integer("max_position_embeddings", in: 1...16_777_216, default: 2048))
    try Self.refuseUnsupported(json)

    visionTowerName = try json.string("mm_vision_tower", default: "")
    let depth = try Self.projectorDepth(json)
    projectorDepth = depth
    guard !visionTowerName.isEmpty else {
      (vision, visionLayersRun, normalization) = (nil, 0, .clip)
      (aspectRatio, patchMerge, granularities, router) = (.crop, .flat, [], nil)
      return
    }
    let tower = try Self.tower(
      try reader(Checkpoint.visionConfigurationName), named: visionTowerName, json, ignoring: ignored)
    vision = tower
    visionLayersRun = try Self.layersRun(json, of: tower)
    let preprocessor = try reader(Checkpoint.visionPreprocessorName) ?? reader("preprocessor_config.json")
    normalization = try preprocessor.map { try ImageNormalization($0, tileSize: tower.imageSize) } ?? .clip
    aspectRatio = try Self.aspectRatio(json)
    patchMerge = try Self.patchMerge(json)
    (granularities, router) = try Self.granularities(json, patches: tower.patches, hiddenSize: hiddenSize)
  }

  private static func refuseUnsupported(_ json: JSONReader) throws {
    guard try json.string("hidden_act", default: "silu") == "silu" else { throw json.failure("hidden_act", "silu") }
    for flag in ["attention_bias", "mlp_bias", "mm_use_im_start_end", "mm_use_im_patch_token"]
    where try json.bool(flag, default: false) {
      throw json.failure(flag, "false: this version does not compute it")
    }
    guard try json.string("mm_vision_select_feature", default: "patch") == "patch" else {
      throw json.failure("mm_vision_select_feature", "patch")
    }
  }

  private static func projectorDepth(_ json: JSONReader) throws -> Int {
    let name = try json.string("mm_projector_type", default: "linear")
    if name == "linear" { return 1 }
    if name.hasPrefix("mlp"), name.hasSuffix("x_gelu"), let depth = Int(name.dropFirst(3).dropLast(6)),
      (1...16).contains(depth)
    {
      return depth
    }
    throw json.failure("mm_projector_type", "linear or mlpNx_gelu")
  }

  private static func tower(
    _ configuration: JSONReader?, named name: String, _ json: JSONReader, ignoring ignored: Set<String>
  ) throws -> VisionConfiguration {
    if let configuration {
      try ConfigurationKeys.tower.check(configuration, ignoring: ignored)
      if configuration.has("vision_config") {
        try ConfigurationKeys.tower.check(configuration.object("vision_config"), ignoring: ignored)
      }
      return try VisionConfiguration(configuration)
    }
    if name == VisionConfiguration.clipLarge336Name { return .clipLarge336 }
    throw GristError(
      .missingInput, "the vision tower that \"mm_vision_tower\" names is neither a folder here nor known",
      file: json.file,
      found: name, advice: "pass the tower's folder with --vision-tower")
  }

  private static func layersRun(_ json: JSONReader, of tower: VisionConfiguration) throws -> Int {
    let selected = try json.integer("mm_vision_select_layer", in: -tower.layers - 1...tower.layers, default: -2)
    let run = selected < 0 ? tower.layers + 1 + selected : selected
    return run
  }

  private static func aspectRatio(_ json: JSONReader) throws -> AspectRatio {
    switch try json.string("image_aspect_ratio", default: "square") {
    case "anyres":
      let places = try json.array("image_grid_pinpoints")
      let sizes = places.compactMap { $0.array?.compactMap(\.integer) }
      guard !sizes.isEmpty, sizes.count == places.count,
        sizes.allSatisfy({ $0.count == 2 && $0.allSatisfy { (1...65_536).contains($0) } })
      else { throw json.failure("image_grid_pinpoints", "an array of [width, height]") }
      return .anyResolution(sizes)
    case "pad": return .pad
    case "square": return .crop
    default: throw json.failure("image_aspect_ratio", "anyres, pad or absent")
    }
  }

  private static func patchMerge(_ json: JSONReader) throws -> PatchMerge {
    let name = try json.string("mm_patch_merge_type", default: "flat")
    switch name {
    case "flat": return .flat
    case "spatial", "spatial_unpad": return .spatial(unpad: name == "spatial_unpad")
    default: throw json.failure("mm_patch_merge_type", "flat, spatial or spatial_unpad")
    }
  }

  private static func granularities(
    _ json: JSONReader, patches: Int, hiddenSize: Int
  ) throws -> ([Int], Router?) {
    guard try json.bool("router_select", default: false) else { return ([patches], nil) }
    let granularities = try json.integers("vis_token_granularity", in: 1...patches)
    guard !granularities.isEmpty, Set(granularities).count == granularities.count else {
      throw json.failure("vis_token_granularity", "a list of different token counts")
    }
    let side = Int(Double(patches).squareRoot())
    for granularity in granularities where PoolingGrid(granularity: granularity, side: side) == nil {
      throw json.failure("vis_token_granularity", "token counts that a \(side)×\(side) grid can be pooled to")
    }
    let heads = 8
    guard hiddenSize % heads == 0 else { throw json.failure("hidden_size", "a multiple of the router's 8 heads") }
    let tokens = try json.integer("filtered_text_num", in: 0...65_536, default: 32)
    return (granularities, Router(filteredTextTokens: tokens, heads: heads, layerNormEpsilon: 1e-5))
  }
}

/// How a square grid of patch features is average-pooled to fewer tokens.
public struct PoolingGrid: Sendable, Equatable {
  /// Pooling window, rows × columns.
  public let windowRows: Int
  public let windowColumns: Int
  /// The grid that remains.
  public let rows: Int
  public let columns: Int

  public var tokens: Int { rows * columns }

  /// Nil when a `side` × `side` grid cannot be pooled to `granularity` tokens. With P = side² patches: P itself is not
  /// pooled, P/2 pools 1×2, P/8 pools 2×4, any other pools k×k with k = ⌊√(P/granularity)⌋.
  public init?(granularity: Int, side: Int) {
    guard granularity > 0, side > 0 else { return nil }
    let patches = side * side
    if granularity * 2 == patches {
      (windowRows, windowColumns) = (1, 2)
    } else if granularity * 8 == patches {
      (windowRows, windowColumns) = (2, 4)
    } else {
      let window = Int((Double(patches) / Double(granularity)).squareRoot())
      (windowRows, windowColumns) = (max(window, 1), max(window, 1))
    }
    rows = side / windowRows
    columns = side / windowColumns
    guard rows * columns == granularity else { return nil }
  }
}
