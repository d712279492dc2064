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
  private let embeddings: any EmbeddingTable
  private let vision: Vision?
  let language: LanguageModel
  private let source: Source
  /// Where the weights are; nil where they are mapped.
  package let residency: Residency?

  /// Everything that is only there when the model sees images.
  private struct Vision: Sendable {
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

  /// How long a conversation's prompt may become, with tiles of a picture.
  ///
  /// - Throws: What writing the conversation down throws.
  public func extent(
    of conversation: Conversation, tiles: ImageTiles?, format: ConversationFormat? = nil
  ) throws -> PromptExtent {
    let ids = try conversation.inputIDs(tokenizer, format ?? configuration.format)
    guard let tiles, let vision else { return PromptExtent(tiles: 0, rows: [0: ids.count]) }
    let layout = ImageLayout(merge: vision.input.patchMerge, unpadding: vision.input.unpadding, newline: [])
    let grids = configuration.granularities.isEmpty ? [vision.input.tower.patches] : configuration.granularities
    let rows = grids.map { ($0, ids.count - 1 + layout.count(tiles, granularity: $0, side: vision.side)) }
    return PromptExtent(tiles: tiles.tiles.count, rows: Dictionary(rows, uniquingKeysWith: { first, _ in first }))
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
    let features: FloatMatrix
    /// What is the same for the same picture alone; nil where nobody said.
    let identity: String?
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
    let pixels = tiles.tiles.map { vision.preprocessor.normalized($0) }
    let features = try locating(file: path) {
      try vision.projector.get()(vision.tower.get().features(pixels, compute), compute)
    }
    return ImageFeatures(tiles: tiles, features: features, identity: identity)
  }

  private func requireVision() throws -> Vision {
    guard let vision else {
      throw GristError(.usage, "the model has no vision tower", file: path, advice: "leave the image out")
    }
    return vision
  }

  /// A prompt turned into rows of the decoder's input.
  public struct PreparedPrompt: Sendable {
    /// Token ids, ``Conversation/imageID`` for the image.
    public let inputIDs: [Int]
    /// Nil without an image, without a router, or when the granularity was forced.
    public let decision: RouterDecision?
    /// What each tile becomes; nil without an image.
    public let granularity: Granularity?
    /// Tiles of the image, the whole one counted in; 0 without an image.
    public let tiles: Int
    /// What is fed to the decoder: [rows, hidden size].
    public let rows: FloatMatrix
    /// Rows that the picture became; 0 without one.
    public var pictureRows = 0
    /// The picture's identity, where it was given one.
    var pictureIdentity: String?
    /// Rows fed to the decoder.
    public var sequenceLength: Int { rows.rows }
  }

  /// What becomes of a prompt that is longer than the model's context.
  public enum Overlength: Sendable {
    case refused
    /// Its end is cut off, as upstream does it.
    case truncated
  }

  /// Builds the decoder's input, asking the router for the granularity unless one is given.
  ///
  /// - Throws: 64 when the prompt and the image do not fit together, the granularity is none of the model's, or the
  ///   prompt is longer than the context and that is to be refused; 65 when the router chooses what the layout cannot
  ///   put together.
  public func prepare(
    _ conversation: Conversation, image: ImageFeatures?, granularity forced: Granularity? = nil,
    overlength: Overlength = .refused, format: ConversationFormat? = nil
  ) throws -> PreparedPrompt {
    guard conversation.hasImage == (image != nil) else {
      throw GristError(.usage, "the prompt and the image do not belong together")
    }
    let ids = try conversation.inputIDs(tokenizer, format ?? configuration.format)
    // Text alone that is too long is refused before anything is computed with it.
    if overlength == .refused { try requireRoom(for: ids.count - (image == nil ? 0 : 1), images: 0) }
    let text = try embed(ids.filter { $0 != Conversation.imageID })
    guard let image else {
      return PreparedPrompt(
        inputIDs: ids, decision: nil, granularity: nil, tiles: 0, rows: truncated(text))
    }
    let vision = try requireVision()
    if let wrong = forced?.values.subtracting(configuration.granularities).min() {
      throw GristError(
        .usage, "the model has no granularity of \(wrong) tokens",
        advice: "it has " + configuration.granularities.map(String.init).joined(separator: ", "))
    }
    let decision = forced == nil ? try route(vision, image, text: text) : nil
    let granularity = forced ?? decision?.granularity ?? .uniform(vision.input.tower.patches)
    guard let grids = TileGrids(granularity, tiles: image.tileCount, side: vision.side) else {
      throw GristError(
        forced == nil ? .badData : .usage, "the granularity does not fit the picture's \(image.tileCount) tiles",
        file: path,
        found: "\(granularity)")
    }
    guard grids.areAlike || vision.input.patchMerge == .flat else {
      throw GristError(
        .badData, "tiles of different granularities cannot be put together in rows", file: path, found: "\(granularity)"
      )
    }
    let pooled = Scaler(side: vision.side).pool(image.features, to: grids, compute)
    let layout = ImageLayout(
      merge: vision.input.patchMerge, unpadding: vision.input.unpadding, newline: try vision.newline.get())
    try locating(file: path) {
      try compute.inPart("the newline embedding") {
        try compute.requireFinite(FloatMatrix(rows: 1, columns: layout.newline.count, values: layout.newline), "values")
      }
    }
    let imageRows = layout.rows(
      pooled, grids: grids, columns: image.tiles.gridColumns, rows: image.tiles.gridRows,
      imageWidth: image.tiles.imageWidth, imageHeight: image.tiles.imageHeight)
    if overlength == .refused { try requireRoom(for: text.rows, images: imageRows.rows) }
    return PreparedPrompt(
      inputIDs: ids, decision: decision, granularity: granularity, tiles: image.tileCount,
      rows: truncated(splice(text, imageRows, ids)), pictureRows: imageRows.rows, pictureIdentity: image.identity)
  }

  /// What each visual token of a picture stands for; nil for a granularity that does not go with the model and its
  /// tiles.
  ///
  /// - Throws: 64 for a text-only model.
  public func tokenGrid(of image: ImageFeatures, granularity: Granularity) throws -> TokenGrid? {
    let vision = try requireVision()
    let layout = ImageLayout(merge: vision.input.patchMerge, unpadding: vision.input.unpadding, newline: [])
    return TileGrids(granularity, tiles: image.tileCount, side: vision.side).map {
      TokenGrid(
        image.tiles, $0, side: vision.side, layout: layout,
        isTurned: configuration.vision?.turnsPictures == true)
    }
  }

  /// What the router decides for an image and the tokens of a prompt's text; nil without a router.
  ///
  /// - Throws: 64 for a text-only model, 65 for a token without an embedding and for values that are not finite.
  public func route(_ image: ImageFeatures, text ids: [Int]) throws -> RouterDecision? {
    try route(requireVision(), image, text: embed(ids))
  }

  /// What the router decides for an image and a prompt; nil without a router.
  private func route(_ vision: Vision, _ image: ImageFeatures, text: FloatMatrix) throws -> RouterDecision? {
    guard let router = vision.router else { return nil }
    let input = RouterInput(features: image.features, tiles: image.tileCount, text: text)
    return try locating(file: path) { try router.get().decide(input, compute) }
  }

  /// Embeddings of token ids: [ids, hidden size].
  ///
  /// - Throws: 65 for an id beyond the table.
  func embed(_ ids: [Int]) throws -> FloatMatrix {
    let rows = FloatMatrix(rows: ids.count, columns: configuration.hiddenSize)
    if let id = ids.first(where: { !(0..<embeddings.rows).contains($0) }) {
      throw GristError(.badData, "a token has no embedding", file: path, found: "id \(id) of \(embeddings.rows)")
    }
    try rows.withMutableRows { rows in try embeddings.copyRows(ids) { rows($0) } }
    try locating(file: path) {
      try compute.inPart("the token embeddings") { try compute.requireFinite(rows, "rows") }
    }
    return rows
  }

  private func splice(_ text: FloatMatrix, _ image: FloatMatrix, _ ids: [Int]) -> FloatMatrix {
    let position = ids.firstIndex(of: Conversation.imageID) ?? ids.count
    let rows = FloatMatrix(rows: text.rows + image.rows, columns: text.columns)
    rows.copyRows(0..<position, of: text, toRow: 0)
    rows.copyRows(0..<image.rows, of: image, toRow: position)
    rows.copyRows(position..<text.rows, of: text, toRow: position + image.rows)
    return rows
  }

  /// - Throws: 64 with both numbers when a prompt does not fit in the context.
  private func requireRoom(for tokens: Int, images: Int) throws {
    guard tokens + images > configuration.maximumLength else { return }
    throw GristError(
      .usage, "the prompt is longer than the model's context of \(configuration.maximumLength) tokens", file: path,
      found: images > 0
        ? "\(tokens) tokens of text and \(images) of the picture" : "\(tokens) tokens",
      advice: "shorten it" + (images > 0 ? ", ask for a coarser granularity," : "")
        + " or cut its end off as upstream does with --truncate")
  }

  private func truncated(_ rows: FloatMatrix) -> FloatMatrix {
    rows.rows <= configuration.maximumLength ? rows : rows.copy(rows: 0..<configuration.maximumLength)
  }

  /// What the decoder makes of the last of some token ids, after the final norm: [hidden size].
  ///
  /// - Precondition: `ids` is not empty.
  /// - Throws: 65 for an id beyond the embeddings and for values that are not finite.
  public func hiddenState(ofLast ids: [Int]) throws -> [Float] {
    try locating(file: path) {
      let cache = language.cache(capacity: ids.count, compute)
      return try language.hiddenStates([.init(rows: embed(ids), cache: cache)], compute)[0].row(0)
    }
  }

  /// The prompt with tokens of an answer after it, as many as the context holds.
  ///
  /// - Throws: 65 for a token without an embedding.
  public func appending(_ tokens: [Int], to prompt: PreparedPrompt) throws -> PreparedPrompt {
    let rows = FloatMatrix(rows: prompt.rows.rows + tokens.count, columns: prompt.rows.columns)
    rows.copyRows(0..<prompt.rows.rows, of: prompt.rows, toRow: 0)
    rows.copyRows(0..<tokens.count, of: try embed(tokens), toRow: prompt.rows.rows)
    return PreparedPrompt(
      inputIDs: prompt.inputIDs + tokens, decision: prompt.decision, granularity: prompt.granularity,
      tiles: prompt.tiles, rows: truncated(rows), pictureRows: prompt.pictureRows,
      pictureIdentity: prompt.pictureIdentity)
  }
}

extension ModelConfiguration {
  /// Patches of one tile; 0 for a text-only model.
  public var patchesPerTile: Int { vision?.tower.patches ?? 0 }
}
