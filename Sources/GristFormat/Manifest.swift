import GristCore

/// A run of chunks that belongs to one tensor or file.
public struct ChunkRun: Sendable, Equatable {
  public var first: Int
  public var count: Int
  /// Units of the payload in every chunk but the last.
  public var unitsPerChunk: Int
  public var range: Range<Int> { first..<first + count }
}

/// One tensor of a `.grist` file.
public struct TensorRecord: Sendable, Equatable {
  /// The name the model knows it by.
  public let name: String
  public let origin: Origin
  public let shape: [Int]
  public let scheme: TensorScheme
  /// ‖stored − source‖ / ‖source‖ over all elements; 0 where nothing was lost.
  public let relativeError: Double
  /// The greatest relative error of a single row; nil where rows were not looked at.
  public let worstRowError: Double?
  /// Why the model does not compute with it, where it is only kept to be given back; else nil.
  public let unused: String?
  public internal(set) var chunks = ChunkRun(first: 0, count: 0, unitsPerChunk: 1)
  /// What makes the tensor more exact, in the order in which it does; this version uses none of it.
  public internal(set) var planes: [Plane] = []

  /// What upstream had in its place.
  public struct Origin: Sendable, Equatable {
    public let name: String
    public let element: ElementType
    /// Which of ``Provenance/sources`` it lay in; nil where that is not known.
    public let source: Int?
    /// The shape there, where it is another one.
    public let shape: [Int]?
    /// How it became the tensor, in the steps of a name map; nil where nothing had to be done.
    public let layout: String?
    /// Other names of upstream's for the same values, which are stored once.
    public let aliases: [String]

    public init(
      name: String, element: ElementType, source: Int? = nil, shape: [Int]? = nil, layout: String? = nil,
      aliases: [String] = []
    ) {
      self.name = name
      self.element = element
      self.source = source
      self.shape = shape
      self.layout = layout
      self.aliases = aliases
    }
  }

  /// Numbers beside a tensor's own that refine them.
  public struct Plane: Sendable, Equatable {
    /// What it is to the tensor.
    public let role: String
    public internal(set) var chunks: ChunkRun
  }

  /// Every run of chunks that is the tensor's.
  var runs: [ChunkRun] { [chunks] + planes.map(\.chunks) }

  public init(
    name: String, origin: Origin, shape: [Int], scheme: TensorScheme, relativeError: Double,
    worstRowError: Double? = nil, unused: String? = nil
  ) {
    self.name = name
    self.origin = origin
    self.shape = shape
    self.scheme = scheme
    self.relativeError = relativeError
    self.worstRowError = worstRowError
    self.unused = unused
  }
}

/// A file that travels inside: configuration, tokenizer, source headers, a reference record.
public struct FileRecord: Sendable, Equatable {
  public let name: String
  public let byteCount: Int
  public let sha256: String
  public internal(set) var chunks: ChunkRun

  public init(name: String, byteCount: Int, sha256: String) {
    self.init(name: name, byteCount: byteCount, sha256: sha256, chunks: ChunkRun(first: 0, count: 0, unitsPerChunk: 1))
  }

  init(name: String, byteCount: Int, sha256: String, chunks: ChunkRun) {
    self.name = name
    self.byteCount = byteCount
    self.sha256 = sha256
    self.chunks = chunks
  }
}

/// A contiguous range of chunks that is used together.
public struct SegmentRecord: Sendable, Equatable {
  public let name: String
  public internal(set) var first: Int
  public internal(set) var count: Int
}

/// Where the weights came from and what was done to them.
public struct Provenance: Sendable, Equatable {
  public struct Source: Sendable, Equatable {
    public let name: String
    public let byteCount: Int
    public let sha256: String

    public init(name: String, byteCount: Int, sha256: String) {
      self.name = name
      self.byteCount = byteCount
      self.sha256 = sha256
    }
  }

  /// One conversion that the weights went through.
  public struct Step: Sendable, Equatable {
    /// The program that did it, with its version.
    public let tool: String
    public let recipe: String
    /// Whether any value came out of it changed.
    public let isLossy: Bool
    /// How codes were calibrated, and with what; nil where they were not.
    public let calibration: String?
    /// How the router was trained anew; nil where it was not.
    public let alignment: Alignment?

    public init(
      tool: String, recipe: String, isLossy: Bool, calibration: String? = nil, alignment: Alignment? = nil
    ) {
      self.calibration = calibration
      self.alignment = alignment
      self.tool = tool
      self.recipe = recipe
      self.isLossy = isLossy
    }
  }

  /// A router that was trained on what the very model answers: its choices are no longer upstream's.
  public struct Alignment: Sendable, Equatable {
    /// SHA-256 of its values as they were trained, 64 hexadecimal digits: two with the same choose alike.
    public let digest: String
    /// With what and how, for people.
    public let summary: String

    public init(digest: String, summary: String) { (self.digest, self.summary) = (digest, summary) }
  }

  /// The program that wrote the file, with its version.
  public let tool: String
  /// Name of the architecture, "unknown" for one this version only stores.
  public let architecture: String
  /// Name of the recipe and the overrides "REGEX=SCHEME" that were given.
  public let recipe: String
  public let overrides: [String]
  public let packing: Packing
  /// Of the source's tensors, whatever files they were in; see `Formats/grist-v1.md`.
  public var fingerprint: String
  public var sources: [Source]
  /// Everything the weights went through since upstream, this file's own conversion last.
  public var lineage: [Step]
  /// Configuration keys that would be refused, which whoever converted knows to change nothing.
  public let ignoredKeys: [String]
  /// How conversations are written down, where whoever converted said so.
  public let promptTemplate: String?
  /// Whether the model is computed with grids that are cropped by their cells' own shape, other than upstream's.
  public let correctsUnpadding: Bool

  /// Whether the weights are no longer upstream's, value for value; a file that does not tell counts as such.
  public var isLossy: Bool { lineage.isEmpty || lineage.contains(where: \.isLossy) }

  /// How the router was last aligned; nil for one that is upstream's, but for what storing it lost.
  public var alignment: Alignment? { lineage.last { $0.alignment != nil }?.alignment }

  package init(
    tool: String, architecture: String, recipe: String, overrides: [String], packing: Packing, fingerprint: String,
    sources: [Source], lineage: [Step], ignoredKeys: [String] = [],
    promptTemplate: String? = nil, correctsUnpadding: Bool = false
  ) {
    self.correctsUnpadding = correctsUnpadding
    self.lineage = lineage
    self.ignoredKeys = ignoredKeys
    self.promptTemplate = promptTemplate
    self.tool = tool
    self.architecture = architecture
    self.recipe = recipe
    self.overrides = overrides
    self.packing = packing
    self.fingerprint = fingerprint
    self.sources = sources
  }
}

/// The description of everything in a `.grist` file but the chunks themselves.
public struct Manifest: Sendable, Equatable {
  public var provenance: Provenance
  public internal(set) var segments: [SegmentRecord] = []
  public internal(set) var tensors: [TensorRecord] = []
  public internal(set) var files: [FileRecord] = []
}
