import GristCore
import GristImaging
import GristKernels
import GristSources

extension VisionLanguageModel {
  /// A prompt turned into rows of the decoder's input.
  public struct PreparedPrompt: Sendable {
    /// Token ids, `Conversation.imageID` for each picture.
    public let inputIDs: [Int]
    /// Nil without an image, without a router, or when the granularity was forced.
    public let decision: RouterDecision?
    /// Whether the decision was made at full precision after it had been tried in int8; nil where it was not tried.
    public let isAskedTwice: Bool?
    /// What each tile becomes; nil without an image.
    public let granularity: Granularity?
    /// Tiles of all pictures, those that show a whole one counted in; 0 without a picture.
    public let tiles: Int
    /// What is fed to the decoder: [rows, hidden size].
    public let rows: FloatMatrix
    /// What each picture became, in the conversation's order.
    var pictures: [PromptPicture] = []
    /// Rows that pictures became; 0 without one.
    public var pictureRows: Int { pictures.reduce(0) { $0 + $1.rows } }
    /// Rows fed to the decoder.
    public var sequenceLength: Int { rows.rows }
  }

  /// What a picture became in a prompt.
  struct PromptPicture: Sendable {
    /// Nil where it was given none.
    let identity: String?
    let rows: Int
  }

  /// What becomes of a prompt that is longer than the model's context.
  public enum Overlength: Sendable {
    case refused
    /// Its end is cut off, as upstream does it.
    case truncated
  }

  /// Builds the decoder's input of a conversation about one picture or none, asking the router for the granularity unless
  /// one is given.
  ///
  /// - Throws: As ``prepare(_:images:granularity:overlength:format:)`` does.
  public func prepare(
    _ conversation: Conversation, image: ImageFeatures?, granularity forced: Granularity? = nil,
    overlength: Overlength = .refused, format: ConversationFormat? = nil
  ) throws -> PreparedPrompt {
    try prepare(
      conversation, images: image.map { [$0] } ?? [], granularity: forced, overlength: overlength, format: format)
  }

  /// Builds the decoder's input, asking the router for the granularity unless one is given.
  ///
  /// - Throws: 64 when the prompt and the pictures do not fit together, the model's reference does not say what becomes of
  ///   pictures there, the granularity is none of the model's, or the prompt is longer than the context and that is to be
  ///   refused; 65 when the router chooses what the layout cannot put together.
  public func prepare(
    _ conversation: Conversation, images: [ImageFeatures], granularity forced: Granularity? = nil,
    overlength: Overlength = .refused, format: ConversationFormat? = nil
  ) throws -> PreparedPrompt {
    guard conversation.pictures == images.count else {
      throw GristError(.usage, "the prompt and the image do not belong together")
    }
    try requirePlaces(of: conversation)
    let ids = try conversation.inputIDs(tokenizer, format ?? configuration.format)
    // Text alone that is too long is refused before anything is computed with it.
    if overlength == .refused { try requireRoom(for: ids.count - images.count, images: 0) }
    let text = try embed(ids.filter { $0 != Conversation.imageID })
    guard let first = images.first else {
      return PreparedPrompt(
        inputIDs: ids, decision: nil, isAskedTwice: nil, granularity: nil, tiles: 0, rows: truncated(text))
    }
    let vision = try requireVision()
    if let wrong = forced?.values.subtracting(configuration.granularities).min() {
      throw GristError(
        .usage, "the model has no granularity of \(wrong) tokens",
        advice: "it has " + configuration.granularities.map(String.init).joined(separator: ", "))
    }
    // A model with a router sees one picture.
    var images = images
    var decision: RouterDecision?
    if forced == nil { (decision, images[0]) = try choose(vision, first, text: text) }
    let isAskedTwice = forced == nil && first.exact != nil ? images[0].exact == nil : nil
    let granularity = forced ?? decision?.granularity ?? .uniform(vision.input.tower.patches)
    let pictures = try images.map { try rows(of: $0, granularity, isForced: forced != nil, vision) }
    let count = pictures.reduce(0) { $0 + $1.rows }
    if overlength == .refused { try requireRoom(for: text.rows, images: count) }
    return PreparedPrompt(
      inputIDs: ids, decision: decision, isAskedTwice: isAskedTwice, granularity: granularity,
      tiles: images.reduce(0) { $0 + $1.tileCount },
      rows: truncated(splice(text, pictures, ids)),
      pictures: zip(images, pictures).map { PromptPicture(identity: $0.identity, rows: $1.rows) })
  }

  /// Whether the model's reference says what becomes of a conversation's pictures.
  ///
  /// - Throws: 64 where it does not.
  public func requirePlaces(of conversation: Conversation) throws {
    guard let input = vision?.input, !input.takesSeveralPictures, !conversation.beginsWithPicture else { return }
    throw GristError(
      .usage,
      conversation.pictures > 1
        ? "this model takes one picture in a conversation" : "this model takes a picture with the first message only",
      file: path, found: "\(conversation.pictures) pictures",
      advice: "nothing says what its reference would make of more")
  }

  /// What a picture becomes in the prompt: [rows, hidden size].
  private func rows(
    of image: ImageFeatures, _ granularity: Granularity, isForced: Bool, _ vision: Vision
  ) throws -> FloatMatrix {
    guard let grids = TileGrids(granularity, tiles: image.tileCount, side: vision.side) else {
      throw GristError(
        isForced ? .usage : .badData, "the granularity does not fit the picture's \(image.tileCount) tiles",
        file: path, found: "\(granularity)")
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
    return layout.rows(
      pooled, grids: grids, columns: image.tiles.gridColumns, rows: image.tiles.gridRows,
      imageWidth: image.tiles.imageWidth, imageHeight: image.tiles.imageHeight)
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
    try choose(requireVision(), image, text: embed(ids)).decision
  }

  /// What the router decides for an image and a prompt, nil without a router; and the picture as it saw it in the end:
  /// at full precision where the margin asks for that.
  private func choose(
    _ vision: Vision, _ image: ImageFeatures, text: FloatMatrix
  ) throws -> (decision: RouterDecision?, image: ImageFeatures) {
    func decide(_ image: ImageFeatures, _ compute: Compute) throws -> RouterDecision? {
      guard let router = vision.router else { return nil }
      let input = RouterInput(features: image.features, tiles: image.tileCount, text: text)
      return try locating(file: path) { try router.get().decide(input, compute) }
    }
    guard let exact = image.exact, let rounding = roundingFirst, let margin = compute.choiceMargin else {
      return (try decide(image, compute), image)
    }
    if let decision = try decide(image, rounding), decision.margin > margin { return (decision, image) }
    let sure = ImageFeatures(
      tiles: image.tiles, features: try exact.get(), identity: image.identity.map { $0 + ", exact" })
    return (try decide(sure, compute), sure)
  }

  /// The tokens of a prompt's text that are most similar to the picture, in falling order: what AVG-LLaVA's router would
  /// see of it.
  ///
  /// - Parameters:
  ///   - ids: of the text, the picture's place left out.
  ///   - image: the picture.
  ///   - count: how many are kept at most.
  ///
  /// - Throws: 64 for a text-only model, 65 for a token without an embedding.
  package func filteredText(_ ids: [Int], by image: ImageFeatures, count: Int) throws -> [Int] {
    let side = try requireVision().side
    let wholePicture = image.features.copy(rows: 0..<side * side)
    return TextFilter(count: count)(text: try embed(ids), image: wholePicture, compute).order.map { ids[$0] }
  }

  /// Embeddings of token ids: [ids, hidden size].
  ///
  /// - Throws: 65 for an id beyond the table.
  package func embed(_ ids: [Int]) throws -> FloatMatrix {
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

  /// The rows of all ids, those of the pictures where they stand.
  private func splice(_ text: FloatMatrix, _ pictures: [FloatMatrix], _ ids: [Int]) -> FloatMatrix {
    let rows = FloatMatrix(rows: text.rows + pictures.reduce(0) { $0 + $1.rows }, columns: text.columns)
    var (row, textRow) = (0, 0)
    for (part, picture) in zip(
      ids.split(separator: Conversation.imageID, omittingEmptySubsequences: false), pictures + [nil])
    {
      rows.copyRows(textRow..<textRow + part.count, of: text, toRow: row)
      textRow += part.count
      row += part.count
      guard let picture else { continue }
      rows.copyRows(0..<picture.rows, of: picture, toRow: row)
      row += picture.rows
    }
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
      inputIDs: prompt.inputIDs + tokens, decision: prompt.decision, isAskedTwice: prompt.isAskedTwice,
      granularity: prompt.granularity, tiles: prompt.tiles, rows: truncated(rows), pictures: prompt.pictures)
  }
}
