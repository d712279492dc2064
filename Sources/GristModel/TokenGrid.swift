import GristImaging
import GristSources

/// The parts of a picture that one visual token each stands for, by the lines between them, in pixels of the picture.
///
/// They are those of the tiles that show its detail; of the one tile where there are no others. The tile that shows the whole
/// picture once more is left out. What the model takes for padding is not among them, and is more than that for grids whose
/// cells are not square: upstream compares the picture's shape with the grid's in cells, and so leaves the detail of half of a
/// picture out at an eighth and at half of the finest grid's tokens.
public struct TokenGrid: Sendable, Equatable {
  /// Extents of the picture, in pixels.
  public let width: Int
  public let height: Int
  /// Whether the picture was turned as its EXIF data say.
  public let isTurned: Bool
  /// What the cells cover together.
  public let across: ClosedRange<Double>
  public let down: ClosedRange<Double>
  /// Lines inside of it: from left to right, and from top to bottom. Cells are one more each way.
  public let columns: [Double]
  public let rows: [Double]
  /// Those of `columns` and `rows` between two tiles.
  public let tileColumns: [Double]
  public let tileRows: [Double]

  /// - Parameters:
  ///   - tiles: the picture, cut.
  ///   - grid: how a tile's patches are pooled.
  ///   - side: patches along a tile's edge.
  ///   - layout: says which cells become rows of the prompt.
  ///   - isTurned: whether the picture was turned as its EXIF data say.
  init(_ tiles: ImageTiles, _ grid: PoolingGrid, side: Int, layout: ImageLayout, isTurned: Bool) {
    self.isTurned = isTurned
    let cells = (columns: max(tiles.gridColumns, 1) * grid.columns, rows: max(tiles.gridRows, 1) * grid.rows)
    var kept = (rows: 0..<cells.rows, columns: 0..<cells.columns)
    if tiles.tiles.count > 1, case .spatial(unpad: true) = layout.merge {
      kept = layout.unpadded(
        width: cells.columns, height: cells.rows, imageWidth: tiles.imageWidth, imageHeight: tiles.imageHeight)
    }
    let patch = Double(tiles.tileSize) / Double(side)
    /// Where the cells of a range begin, and the last one ends; `isTile` of those that begin a tile.
    func lines(_ range: Range<Int>, _ perTile: Int, _ window: Int, start: Double, length: Double, extent: Int) -> [Line]
    {
      (range.lowerBound...range.upperBound).map { cell in
        let place = Double(cell / perTile * tiles.tileSize) + Double(cell % perTile * window) * patch
        let position = (place - start) / length * Double(extent)
        return Line(position: min(max(position, 0), Double(extent)), isTile: cell % perTile == 0)
      }
    }
    let vertical = lines(
      kept.columns, grid.columns, grid.windowColumns, start: tiles.place.x, length: tiles.place.width,
      extent: tiles.imageWidth)
    let horizontal = lines(
      kept.rows, grid.rows, grid.windowRows, start: tiles.place.y, length: tiles.place.height,
      extent: tiles.imageHeight)
    (width, height) = (tiles.imageWidth, tiles.imageHeight)
    (across, down) = (Self.extent(vertical), Self.extent(horizontal))
    columns = vertical.dropFirst().dropLast().map(\.position)
    rows = horizontal.dropFirst().dropLast().map(\.position)
    tileColumns = vertical.dropFirst().dropLast().filter(\.isTile).map(\.position)
    tileRows = horizontal.dropFirst().dropLast().filter(\.isTile).map(\.position)
  }

  private struct Line {
    let position: Double
    let isTile: Bool
  }

  private static func extent(_ lines: [Line]) -> ClosedRange<Double> {
    let first = lines.first?.position ?? 0
    return first...max(lines.last?.position ?? 0, first)
  }
}
