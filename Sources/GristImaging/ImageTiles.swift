/// An image as the vision tower takes it: square tiles of 8-bit RGB.
public struct ImageTiles: Sendable, Equatable {
  /// Extents of the original image in pixels.
  public let imageWidth: Int
  public let imageHeight: Int
  /// Pixels along a tile's edge.
  public let tileSize: Int
  /// Extents of the grid of detail tiles, in tiles; both 0 when there is only the global tile.
  public let gridColumns: Int
  public let gridRows: Int
  /// The global tile, then the detail tiles of the grid row by row: `1 + gridColumns * gridRows` tiles, each
  /// `tileSize * tileSize * 3` bytes, row by row, three bytes (red, green, blue) a pixel.
  public let tiles: [[UInt8]]
}
