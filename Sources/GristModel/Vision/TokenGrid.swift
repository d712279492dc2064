import GristImaging
import GristSources

/// The parts of a picture that one visual token each stands for, by the lines between them, in pixels of the picture.
///
/// They are those of the tiles that show its detail; of the one tile where there are no others. The tile that shows the
/// whole picture once more is left out. What the model takes for padding is not among them, and is more than that for
/// grids whose cells are not square: upstream compares the picture's shape with the grid's in cells, and so leaves the
/// detail of half of a picture out at an eighth and at half of the finest grid's tokens, unless unpadding is corrected.
public struct TokenGrid: Sendable, Equatable {
  /// Extents of the picture, in pixels.
  public let width: Int
  public let height: Int
  /// Whether the picture was turned as its EXIF data say.
  public let isTurned: Bool
  /// One that covers all tiles where they are pooled alike, else one a tile.
  public let areas: [Area]
  /// Lines between two tiles, from left to right and from top to bottom; those that lie in ``areas``.
  public let tileColumns: [Double]
  public let tileRows: [Double]

  /// A rectangle of cells.
  public struct Area: Sendable, Equatable {
    /// What the cells cover together.
    public let across: ClosedRange<Double>
    public let down: ClosedRange<Double>
    /// Lines inside of it: from left to right, and from top to bottom. Cells are one more each way.
    public let columns: [Double]
    public let rows: [Double]

    public var cells: Int { (columns.count + 1) * (rows.count + 1) }

    init(across: ClosedRange<Double>, down: ClosedRange<Double>, columns: [Double], rows: [Double]) {
      (self.across, self.down, self.columns, self.rows) = (across, down, columns, rows)
    }
  }

  init(width: Int, height: Int, isTurned: Bool, areas: [Area], tileColumns: [Double], tileRows: [Double]) {
    (self.width, self.height, self.isTurned, self.areas) = (width, height, isTurned, areas)
    (self.tileColumns, self.tileRows) = (tileColumns, tileRows)
  }

  /// - Parameters:
  ///   - tiles: the picture, cut.
  ///   - grids: how each tile's patches are pooled.
  ///   - side: patches along a tile's edge.
  ///   - layout: says which cells become rows of the prompt.
  ///   - isTurned: whether the picture was turned as its EXIF data say.
  init(_ tiles: ImageTiles, _ grids: TileGrids, side: Int, layout: ImageLayout, isTurned: Bool) {
    self.isTurned = isTurned
    (width, height) = (tiles.imageWidth, tiles.imageHeight)
    let (across, down) = (max(tiles.gridColumns, 1), max(tiles.gridRows, 1))
    let ruler = Ruler(tiles, side: side)
    guard let grid = grids.common else {
      areas = (0..<across * down).map { tile in
        let (row, column) = (tile / across, tile % across)
        let grid = grids[min(tile + 1, grids.count - 1)]
        return Area(
          columns: ruler.lines(column * grid.columns..<(column + 1) * grid.columns, .across(grid)),
          rows: ruler.lines(row * grid.rows..<(row + 1) * grid.rows, .down(grid)))
      }
      // Areas end where tiles do.
      (tileColumns, tileRows) = ([], [])
      return
    }
    let cells = (columns: across * grid.columns, rows: down * grid.rows)
    var kept = (rows: 0..<cells.rows, columns: 0..<cells.columns)
    if tiles.tiles.count > 1, case .spatial(unpad: true) = layout.merge {
      kept = layout.unpadded(
        grid, width: cells.columns, height: cells.rows, imageWidth: tiles.imageWidth, imageHeight: tiles.imageHeight)
    }
    let vertical = ruler.lines(kept.columns, .across(grid))
    let horizontal = ruler.lines(kept.rows, .down(grid))
    areas = [Area(columns: vertical, rows: horizontal)]
    tileColumns = vertical.dropFirst().dropLast().filter(\.isTile).map(\.position)
    tileRows = horizontal.dropFirst().dropLast().filter(\.isTile).map(\.position)
  }
}

/// Where cells of tiles begin, in pixels of the picture.
private struct Ruler {
  private let tiles: ImageTiles
  private let side: Int

  struct Line {
    let position: Double
    /// Whether a tile begins there.
    let isTile: Bool
  }

  enum Direction {
    case across(PoolingGrid)
    case down(PoolingGrid)
  }

  init(_ tiles: ImageTiles, side: Int) {
    self.tiles = tiles
    self.side = side
  }

  /// Where the cells of a range begin, and the last one ends.
  func lines(_ range: Range<Int>, _ direction: Direction) -> [Line] {
    let (perTile, window, start, length, extent) =
      switch direction {
      case .across(let grid): (grid.columns, grid.windowColumns, tiles.place.x, tiles.place.width, tiles.imageWidth)
      case .down(let grid): (grid.rows, grid.windowRows, tiles.place.y, tiles.place.height, tiles.imageHeight)
      }
    let patch = Double(tiles.tileSize) / Double(side)
    return (range.lowerBound...range.upperBound).map { cell in
      let place = Double(cell / perTile * tiles.tileSize) + Double(cell % perTile * window) * patch
      let position = (place - start) / length * Double(extent)
      return Line(position: min(max(position, 0), Double(extent)), isTile: cell % perTile == 0)
    }
  }
}

extension TokenGrid.Area {
  fileprivate init(columns vertical: [Ruler.Line], rows horizontal: [Ruler.Line]) {
    across = Self.extent(vertical)
    down = Self.extent(horizontal)
    columns = vertical.dropFirst().dropLast().map(\.position)
    rows = horizontal.dropFirst().dropLast().map(\.position)
  }

  private static func extent(_ lines: [Ruler.Line]) -> ClosedRange<Double> {
    let first = lines.first?.position ?? 0
    return first...max(lines.last?.position ?? 0, first)
  }
}
