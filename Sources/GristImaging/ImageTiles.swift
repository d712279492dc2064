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
  /// Where the image lies on what the tiles of the grid are cut from, or the one tile.
  public let place: Place
  /// The global tile, then the detail tiles of the grid row by row: `1 + gridColumns * gridRows` tiles, each
  /// `tileSize * tileSize * 3` bytes, row by row, three bytes (red, green, blue) a pixel.
  public let tiles: [[UInt8]]

  /// A rectangle in pixels of the tiles, from the left upper corner of the first; what is cut off lies beyond.
  public struct Place: Sendable, Equatable {
    public let x: Double
    public let y: Double
    public let width: Double
    public let height: Double
  }
}
