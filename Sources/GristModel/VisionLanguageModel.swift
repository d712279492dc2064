import GristCore
import GristImaging
import GristKernels
import GristSources

/// A whole AVG-LLaVA (or LLaVA) model, ready to answer. Weights are read when they are first needed.
public final class VisionLanguageModel: Sendable {
  public let path: String
  public let configuration: ModelConfiguration
  public let tokenizer: any Tokenizer
  /// Tokens that end an answer.
  public let endTokens: Set<Int>
  public let compute: Compute
  let embeddings: any EmbeddingTable
  let vision: Vision?
  let language: LanguageModel
  private let source: Source
  /// Where the weights are; nil where they are mapped.
  package let residency: Residency?

  /// Everything that is only there when the model sees images.
  struct Vision: Sendable {
    let input: VisionInput
    let preprocessor: ImagePreprocessor
    let side: Int
    let tower: Lazy<VisionTower>
    let projector: Lazy<Projector>
    /// The embedding that ends a row of patches; empty when the model has none.
    let newline: Lazy<[Float]>
    let router: Lazy<any Router>?
  }

  /// Opens a model from its weights and side files.
  ///
  /// - Throws: 66 when the tokenizer or a configuration is missing, 65 when a configuration or a tensor does not fit.
  public convenience init(_ store: some ParameterStore, compute: Compute) throws {
    let configuration = try store.source.configuration()
    try self.init(
      store, configuration, tokenizer: store.source.tokenizer(configuration.tokenizers), compute: compute)
  }

  private init(
    _ store: some ParameterStore, _ configuration: ModelConfiguration, tokenizer: any Tokenizer, compute: Compute,
    residency: Residency? = nil
  ) throws {
    path = store.path
    source = store.source
    self.compute = compute
    self.configuration = configuration
    self.tokenizer = tokenizer
    self.residency = residency
    // An added token that no prompt spells out (a <pad> mostly) needs no embedding.
    guard tokenizer.wordVocabularySize <= configuration.vocabularySize else {
      throw GristError(
        .badData, "the tokenizer has more pieces than the model has embeddings", file: store.path,
        found: "\(tokenizer.wordVocabularySize) against \(configuration.vocabularySize)",
        advice: "put the model's own tokenizer into its folder")
    }
    guard let endTokens = configuration.endTokens ?? tokenizer.end.map({ [$0] }) else {
      throw GristError(
        .badData, "nothing says which token ends an answer", file: store.path,
        advice: "add \"eos_token_id\" to config.json, or \"eos_token\" to tokenizer_config.json")
    }
    self.endTokens = endTokens
    embeddings = try store.embedding(configuration.language.tokenEmbeddings)
    language = try LanguageModel(store, configuration)
    vision = try configuration.vision.map { input in
      let projector = ProjectorTensors(input, width: configuration.hiddenSize)
      return Vision(
        input: input, preprocessor: try Self.preprocessor(input), side: input.tower.gridSize,
        tower: Lazy { try VisionTower(store, input.tower, layersRun: input.layersRun) },
        projector: Lazy(isKept: projector.layers.allSatisfy { store.keeps($0.weight) }) {
          try Projector(store, projector)
        },
        newline: Lazy { projector.newline.isRequired ? try store.values(projector.newline) : [] },
        router: try Self.routing(input, path: store.path).map { routing in
          Lazy(isKept: routing.tensors.allSatisfy(store.keeps)) { try routing.router(store) }
        })
    }
  }

  /// What running it takes.
  ///
  /// - Throws: 64 when its weights do not lie in the file as they are computed with.
  public func memoryNeeds() throws -> MemoryNeeds { try MemoryNeeds(source, compute) }

  /// What streaming weights took so far; nil where nothing streams.
  public var streaming: StreamingStatistics? {
    residency.flatMap { $0.plan.streams ? $0.statistics : nil }
  }

  /// The same model, run as a plan says; nothing of its weights has been read then.
  ///
  /// - Throws: As opening it does.
  public func running(_ plan: MemoryPlan) throws -> VisionLanguageModel {
    let residency = try Residency(plan, source: source, pool: compute.pool)
    RecycledMemory.keep(atMost: MemoryPlan.keptScratchBytes)
    return try VisionLanguageModel(
      source.parameters(pool: compute.pool, residency: residency), configuration, tokenizer: tokenizer,
      compute: compute, residency: residency)
  }

  /// How long a conversation's prompt may become, with the tiles of its pictures.
  ///
  /// - Throws: What writing the conversation down throws.
  public func extent(
    of conversation: Conversation, tiles: [ImageTiles], format: ConversationFormat? = nil
  ) throws -> PromptExtent {
    let ids = try conversation.inputIDs(tokenizer, format ?? configuration.format)
    guard !tiles.isEmpty, let vision else { return PromptExtent(pictures: 0, tiles: 0, rows: [0: ids.count]) }
    let layout = ImageLayout(merge: vision.input.patchMerge, unpadding: vision.input.unpadding, newline: [])
    let grids = configuration.granularities.isEmpty ? [vision.input.tower.patches] : configuration.granularities
    let rows = grids.map { grid in
      let pictures = tiles.reduce(0) { $0 + layout.count($1, granularity: grid, side: vision.side) }
      return (grid, ids.count - tiles.count + pictures)
    }
    return PromptExtent(
      pictures: tiles.count, tiles: tiles.reduce(0) { $0 + $1.tiles.count },
      rows: Dictionary(rows, uniquingKeysWith: { first, _ in first }))
  }

  private static func routing(_ input: VisionInput, path: String) throws -> (any RunnableRouting)? {
    guard input.usesRouter, let routing = input.router else { return nil }
    guard let runnable = routing as? any RunnableRouting else {
      throw GristError(
        .badData, "nothing here computes the model's router", file: path, found: "\(type(of: routing))",
        advice: "have the family's routing conform to RunnableRouting")
    }
    return runnable
  }

  private static func preprocessor(_ input: VisionInput) throws -> ImagePreprocessor {
    let mode: AspectRatioMode
    switch input.aspectRatio {
    case .anyResolution(let sizes): mode = .anyres(gridPinpoints: sizes.map { (width: $0.width, height: $0.height) })
    case .pad: mode = .pad
    case .crop(let shortestEdge): mode = .crop(shortestEdge: shortestEdge)
    case .stretch: mode = .stretch
    }
    return try ImagePreprocessor(
      tileSize: input.tower.imageSize, mean: input.normalization.mean.map(Double.init),
      standardDeviation: input.normalization.standardDeviation.map(Double.init), aspectRatio: mode)
  }

  /// Whether the model can look at images.
  public var seesImages: Bool { vision != nil }

  /// An image as the model sees it.
  public struct ImageFeatures: Sendable {
    let tiles: ImageTiles
    /// [tiles · patches, hidden size], the whole image's tile first.
    package let features: FloatMatrix
    /// What is the same for the same picture alone; nil where nobody said.
    let identity: String?
    /// The same at full precision; nil where these features are.
    var exact: Lazy<FloatMatrix>?
    public var tileCount: Int { tiles.tiles.count }
  }

  /// Cuts an image into tiles and runs tower and projector.
  ///
  /// - Throws: 64 for a text-only model, 65 for an image that cannot be tiled or a missing tensor.
  public func encode(_ image: RGBImage) throws -> ImageFeatures { try encode(tiles(of: image)) }

  /// Decodes a picture, turned as its EXIF data say where the model's own loader does that.
  ///
  /// - Parameters:
  ///   - bytes: a JPEG, PNG or WebP file's.
  ///   - name: the file, for messages.
  ///
  /// - Throws: 65 when the bytes are no picture that can be decoded whole.
  public func picture(encoded bytes: Bytes, name: String) throws -> RGBImage {
    let picture = try RGBImage(encoded: bytes, name: name)
    return configuration.vision?.turnsPictures == true
      ? picture.upright(from: Orientation(of: bytes)) : picture
  }

  /// Cuts an image into tiles as the model's configuration asks.
  ///
  /// - Throws: 64 for a text-only model, 65 for an image that cannot be tiled.
  public func tiles(of image: RGBImage) throws -> ImageTiles { try requireVision().preprocessor.preprocess(image) }

  /// Runs tower and projector on an image's tiles.
  ///
  /// - Parameters:
  ///   - tiles: the picture.
  ///   - identity: what is the same for the same picture alone, such as a digest: prompts that show it share what the
  ///     decoder made of it, see ``PromptMemory``.
  ///
  /// - Throws: 64 for a text-only model, 65 for a missing tensor and for values that are not finite.
  public func encode(_ tiles: ImageTiles, identity: String? = nil) throws -> ImageFeatures {
    let vision = try requireVision()
    @Sendable func features(_ tiles: ArraySlice<[UInt8]>, _ compute: Compute) throws -> FloatMatrix {
      try locating(file: path) {
        let pixels = tiles.map { vision.preprocessor.normalized($0) }
        return try vision.projector.get()(vision.tower.get().features(pixels, compute), compute)
      }
    }
    let all = tiles.tiles[...]
    guard let rounding = roundingFirst, !all.isEmpty else {
      return ImageFeatures(tiles: tiles, features: try features(all, compute), identity: identity)
    }
    // Which words the router looks at hangs by the whole picture alone, and on a hair: that is exact from the start.
    let whole = try features(all.prefix(1), compute)
    @Sendable func withOthers(_ compute: Compute) throws -> FloatMatrix {
      all.count == 1 ? whole : FloatMatrix(stacking: [whole, try features(all.dropFirst(), compute)])
    }
    return ImageFeatures(
      tiles: tiles, features: try withOthers(rounding), identity: identity,
      exact: Lazy { try withOthers(self.compute) })
  }

  /// What tower and router are tried with first where a choice's margin decides whether they are asked exactly; nil
  /// where they always are.
  var roundingFirst: Compute? { compute.choiceMargin == nil ? nil : compute.roundingPlainWeights }

  func requireVision() throws -> Vision {
    guard let vision else {
      throw GristError(.usage, "the model has no vision tower", file: path, advice: "leave the image out")
    }
    return vision
  }
}

extension ModelConfiguration {
  /// Patches of one tile; 0 for a text-only model.
  public var patchesPerTile: Int { vision?.tower.patches ?? 0 }
}
