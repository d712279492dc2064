/// How an image of any shape becomes square tiles: LLaVA's `image_aspect_ratio`.
public enum AspectRatioMode: Sendable {
  /// "anyres": the image on the best fitting of these canvases (extents in pixels, multiples of the tile size), cut
  /// into tiles, after a global tile that shows the whole image without regard to its aspect.
  case anyres(gridPinpoints: [(width: Int, height: Int)])
  /// "pad": the image centred on a square of the mean colour, scaled to one tile.
  case pad
  /// No entry in the configuration: the shorter edge scaled to `shortestEdge` pixels (at least the tile size), and one
  /// tile cut from the centre.
  case crop(shortestEdge: Int)
  /// The whole image as one tile, whatever that does to its aspect: a size of height and width.
  case stretch
}
