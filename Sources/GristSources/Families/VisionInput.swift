import GristCore

/// Extents of a picture, in pixels.
public struct PictureSize: Sendable, Equatable {
  public let width: Int
  public let height: Int

  public init(width: Int, height: Int) {
    self.width = width
    self.height = height
  }
}

/// How a picture becomes rows of the language model's input.
public struct VisionInput: Sendable {
  /// What becomes of an image before the tower sees it.
  public enum AspectRatio: Sendable, Equatable {
    /// The whole image, then tiles of the best fitting of these sizes.
    case anyResolution([PictureSize])
    /// One tile: padded to a square.
    case pad
    /// One tile: the shorter edge scaled to so many pixels, and the centre of that.
    case crop(shortestEdge: Int)
    /// One tile: both edges scaled to its own.
    case stretch
  }

  /// How the tiles' tokens are put together.
  public enum PatchMerge: Sendable, Equatable {
    case flat
    /// `unpad`: rows and columns that only show padding are dropped, and every row ends in the newline embedding.
    case spatial(unpad: Bool)
  }

  /// How the extent of the part without padding is rounded down to whole cells.
  public enum Unpadding: Sendable, Equatable {
    /// Truncated: upstream LLaVA.
    case truncates
    /// Rounded to seven decimals first, so that 11.999999999 counts as 12: transformers.
    case roundsFirst
    /// Truncated, and by the cells' own shape. Upstream takes every cell for a square: of a grid whose cells are twice as
    /// wide as high it drops half of the picture.
    case byCells
  }

  public let tower: VisionConfiguration
  /// Name of the tower upstream, for messages.
  public let towerName: String
  /// Tower layers that are run.
  public let layersRun: Int
  public let normalization: ImageNormalization
  public let aspectRatio: AspectRatio
  /// Linear layers of the projector; between them stand GELUs.
  public let projectorDepth: Int
  public let patchMerge: PatchMerge
  public let unpadding: Unpadding
  /// Visual tokens that a tile may become, in the configuration's order. Without a router: all patches.
  public let granularities: [Int]
  /// How the model decides what a tile becomes; nil for one that looks at pictures in one way only.
  public let router: (any Routing)?
  /// Whether the router is asked. Upstream keeps one that it does not ask where tiles are not merged spatially.
  public let usesRouter: Bool
  /// Whether pictures are turned as their EXIF data say before anything else: transformers' loader does it, upstream's
  /// does not.
  public internal(set) var turnsPictures: Bool
  /// Whether the reference says what becomes of several pictures in one conversation, each a row of tokens of its own, and
  /// of pictures behind the first message.
  public let takesSeveralPictures: Bool

  public init(
    tower: VisionConfiguration, towerName: String, layersRun: Int, normalization: ImageNormalization,
    aspectRatio: AspectRatio, projectorDepth: Int, patchMerge: PatchMerge, unpadding: Unpadding,
    granularities: [Int]? = nil, router: (any Routing)? = nil, usesRouter: Bool? = nil, turnsPictures: Bool = false,
    takesSeveralPictures: Bool = false
  ) {
    self.tower = tower
    self.towerName = towerName
    self.layersRun = layersRun
    self.normalization = normalization
    self.aspectRatio = aspectRatio
    self.projectorDepth = projectorDepth
    self.patchMerge = patchMerge
    self.unpadding = unpadding
    self.granularities = granularities ?? [tower.patches]
    self.router = router
    self.usesRouter = usesRouter ?? (router != nil)
    self.turnsPictures = turnsPictures
    self.takesSeveralPictures = takesSeveralPictures
  }
}
