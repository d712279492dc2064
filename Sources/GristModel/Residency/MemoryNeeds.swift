import GristCore
import GristFormat
import GristKernels
import GristSources

/// What running a model takes, part by part: what a ``MemoryPlan`` is made of.
public struct MemoryNeeds: Sendable, Equatable {
  /// Matrices that are needed together.
  public struct Part: Sendable, Equatable {
    /// As they are computed with.
    public var bytes: Int
    /// As they lie in the file.
    public var storedBytes: Int
    /// Of the largest of them.
    public var largestBytes: Int

    public init(bytes: Int, storedBytes: Int, largestBytes: Int) {
      (self.bytes, self.storedBytes, self.largestBytes) = (bytes, storedBytes, largestBytes)
    }
  }

  /// The program, the file's index, tokenizer and norms.
  public var programBytes: Int
  /// What is held of the token embeddings: runs that were looked up, or all where they serve as head, too.
  public var tableBytes: Int
  /// The decoder's layers.
  public var layers: [Part]
  /// Nothing where the embeddings serve.
  public var head: Part
  /// Tower, projector and router.
  public var towerBytes: Int
  public var towerStepBytes: Int
  public var projectorBytes: Int
  public var routerBytes: Int
  public var cacheBytesPerRow: Int
  /// The decoder's width and the widest of its layers.
  public var width: Int
  public var innerWidth: Int
  /// Patches of a tile, the tower's width and the widest of its layers.
  public var patches: Int
  public var towerWidth: Int
  public var towerInnerWidth: Int
  /// Whether weights are expanded to f32 before they are multiplied.
  public var expandsWeights: Bool

  public var visionBytes: Int { towerBytes + projectorBytes + routerBytes }

  /// A row on its way through the decoder.
  var rowBytes: Int { width * MemoryLayout<Float>.size }

  /// What is held of tower, projector and router at most, where they go as they were used.
  func visionStepBytes(asksRouter: Bool) -> Int { max(towerStepBytes, projectorBytes, asksRouter ? routerBytes : 0) }

  /// What the projector made of a picture, and what was pooled of it.
  func featureBytes(tiles: Int) -> Int { 2 * tiles * patches * rowBytes }

  /// A block of rows inside a layer: what enters, queries, keys and values, what leaves, gates twice, and codes; the
  /// libraries' own memory.
  func blockBytes(rows: Int) -> Int {
    // Sizes of recycled memory are rounded up by an eighth at most.
    rows * (6 * width + 2 * innerWidth) * MemoryLayout<Float>.size / 8 * 9 + rows * innerWidth + libraryBytes
  }

  /// A picture on its way through tower, projector and router.
  func pictureBytes(tiles: Int, asksRouter: Bool) -> Int {
    let float = MemoryLayout<Float>.size
    // Pixels as floats and as rows of patches; a tile inside a layer; what comes out.
    let rows = (patches + 1) * float
    let tower = tiles * rows * 3 * towerWidth + rows * (6 * towerWidth + 2 * towerInnerWidth)
    let projector = 1024 * 3 * width * float + tiles * rows * towerWidth
    // A band of about 1,024 positions: sequence, queries, keys and values, attended, hidden.
    let router = asksRouter ? 1024 * 2 * 8 * width * float : 0
    return featureBytes(tiles: tiles) + max(tower, projector, router) + libraryBytes + Self.decodedPictureBytes
  }

  /// A photograph of some 12 megapixels, decoded and scaled.
  static let decodedPictureBytes = 64 << 20

  private var libraryBytes: Int { (expandsWeights ? 96 : 24) << 20 }

  public init(
    programBytes: Int, tableBytes: Int, layers: [Part], head: Part, towerBytes: Int = 0, towerStepBytes: Int = 0,
    projectorBytes: Int = 0, routerBytes: Int = 0, cacheBytesPerRow: Int, width: Int, innerWidth: Int,
    patches: Int = 0, towerWidth: Int = 0, towerInnerWidth: Int = 0, expandsWeights: Bool = false
  ) {
    (self.programBytes, self.tableBytes, self.layers, self.head) = (programBytes, tableBytes, layers, head)
    (self.towerBytes, self.towerStepBytes) = (towerBytes, towerStepBytes)
    (self.projectorBytes, self.routerBytes) = (projectorBytes, routerBytes)
    (self.cacheBytesPerRow, self.width, self.innerWidth) = (cacheBytesPerRow, width, innerWidth)
    (self.patches, self.towerWidth, self.towerInnerWidth) = (patches, towerWidth, towerInnerWidth)
    self.expandsWeights = expandsWeights
  }

  /// Of a source as `compute` runs it.
  ///
  /// - Throws: 65 when it cannot be run, 64 when its weights do not lie in the file as they are computed with.
  public init(_ source: Source, _ compute: Compute) throws {
    let configuration = try source.configuration()
    let language = configuration.language
    func part(_ tensors: [ExpectedTensor]) throws -> Part {
      let stored = try tensors.compactMap { tensor in
        source.has(tensor.name) || tensor.isRequired ? try source.stored(tensor.name) : nil
      }
      return Part(
        bytes: stored.reduce(0) { $0 + $1.roundedBytes }, storedBytes: stored.reduce(0) { $0 + $1.storedBytes },
        largestBytes: stored.reduce(0) { max($0, $1.roundedBytes) })
    }
    let holdsCodes = source.holdsCodes
    let vision = configuration.vision
    let tower = try vision.map { input in
      let tensors = TowerTensors(input.tower, layersRun: input.layersRun)
      let layers = tensors.all.filter { if case .visionLayer = $0.part { true } else { false } }
      let others = tensors.all.filter { $0.part == .visionEmbeddings }
      let (first, rest) = (try part(others), try part(layers))
      return (bytes: first.bytes + rest.bytes, step: first.bytes + rest.bytes / max(input.layersRun, 1))
    }
    let tied = language.tiesWordEmbeddings
    let isTableHeld = tied || source.isTiled(language.tokenEmbeddings.name)
    self.init(
      programBytes: Self.programBytes + source.indexBytes,
      tableBytes: isTableHeld ? try part([language.tokenEmbeddings]).bytes : Residency.keptTableBytes,
      layers: try (0..<language.layers).map { try part(DecoderLayerTensors($0, language).matrices) },
      head: tied ? Part(bytes: 0, storedBytes: 0, largestBytes: 0) : try part([language.head]),
      towerBytes: tower?.bytes ?? 0, towerStepBytes: tower?.step ?? 0,
      projectorBytes: try vision.map { try part(ProjectorTensors($0, width: language.hiddenSize).all).bytes } ?? 0,
      routerBytes: try vision.map { $0.usesRouter ? try part($0.router?.tensors ?? []).bytes : 0 } ?? 0,
      cacheBytesPerRow: KeyValueCache(
        layers: language.layers, heads: configuration.attentionHeads, capacity: 0,
        precision: compute.cachePrecision(isQuantized: holdsCodes)
      ).bytesPerRow,
      width: language.hiddenSize, innerWidth: language.intermediateSize, patches: vision?.tower.patches ?? 0,
      towerWidth: vision?.tower.hiddenSize ?? 0, towerInnerWidth: vision?.tower.intermediateSize ?? 0,
      expandsWeights: !holdsCodes || compute.activations == .f32)
  }

  /// The program with its libraries, a tokenizer, norms.
  static let programBytes = 48 << 20
}

extension Source {
  /// Whether the decoder's matrices are codes.
  var holdsCodes: Bool {
    guard let language = try? configuration().language, language.layers > 0,
      case .grouped = file?.tensor(named: DecoderLayerTensors(0, language).key.name)?.scheme
    else { return false }
    return true
  }

  func has(_ name: String) -> Bool {
    switch storage {
    case .grist(let file): file.tensor(named: name) != nil
    case .checkpoint(let checkpoint): checkpoint.tensor(named: name) != nil
    }
  }

  /// Whether a table is stored in tiles, and so has to be held whole.
  func isTiled(_ name: String) -> Bool {
    guard case .grouped(let scheme) = file?.tensor(named: name)?.scheme else { return false }
    return scheme.layout == .tile16
  }

  /// About what the index takes once it is read.
  var indexBytes: Int {
    switch storage {
    case .grist(let file): 8 * file.indexByteCount
    case .checkpoint(let checkpoint): 4096 * checkpoint.tensors.count
    }
  }
}
