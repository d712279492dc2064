import GristImaging
import GristKernels
import GristSources

/// How the chosen tokens of an image's tiles become rows of the language model's input.
struct ImageLayout: Sendable {
  let merge: VisionInput.PatchMerge
  let unpadding: VisionInput.Unpadding
  /// The embedding that ends a row of patches.
  let newline: [Float]

  /// - Parameters:
  ///   - features: [tokens of all tiles, width], the whole image's tile first.
  ///   - grids: of the tiles; alike unless they are merged flat.
  ///   - columns, rows: how the other tiles tile the image.
  ///   - imageWidth, imageHeight: of the original image, in pixels.
  func rows(
    _ features: FloatMatrix, grids: TileGrids, columns: Int, rows: Int, imageWidth: Int, imageHeight: Int
  ) -> FloatMatrix {
    guard case .spatial = merge, let grid = grids.common else { return features }
    let sources = sources(
      grid, tiles: grids.count, columns: columns, rows: rows, imageWidth: imageWidth, imageHeight: imageHeight)
    return assemble(features, sources)
  }

  /// Which token of all tiles stands where, where tiles of a grid are put together as they lie in the picture; nil
  /// stands for the newline.
  private func sources(
    _ grid: PoolingGrid, tiles: Int, columns: Int, rows: Int, imageWidth: Int, imageHeight: Int
  ) -> [Int?] {
    let unpad = merge == .spatial(unpad: true)
    guard tiles > 1 else { return (0..<grid.tokens).map { $0 } + (unpad ? [nil] : []) }
    let height = rows * grid.rows
    let width = columns * grid.columns
    var keptRows = 0..<height
    var keptColumns = 0..<width
    if unpad {
      (keptRows, keptColumns) = unpadded(
        grid, width: width, height: height, imageWidth: imageWidth, imageHeight: imageHeight)
    }
    var sources: [Int?] = (0..<grid.tokens).map { $0 }
    for y in keptRows {
      for x in keptColumns {
        let tile = 1 + y / grid.rows * columns + x / grid.columns
        sources.append(tile * grid.tokens + y % grid.rows * grid.columns + x % grid.columns)
      }
      if unpad { sources.append(nil) }
    }
    return sources
  }

  /// Rows that tiles of `granularity` tokens each become; what ``rows(_:grids:columns:rows:imageWidth:imageHeight:)``
  /// gives has as many.
  func count(_ image: ImageTiles, granularity: Int, side: Int) -> Int {
    let tiles = image.tiles.count
    guard case .spatial = merge, let grid = PoolingGrid(granularity: granularity, side: side) else {
      return tiles * granularity
    }
    return sources(
      grid, tiles: tiles, columns: image.gridColumns, rows: image.gridRows, imageWidth: image.imageWidth,
      imageHeight: image.imageHeight
    ).count
  }

  /// The part of a `width` × `height` map of a grid's cells that shows the image rather than the padding around it.
  /// Aspect ratios are compared and rounded in double precision, in upstream's order, and as if cells were squares unless
  /// the unpadding goes by their shape.
  func unpadded(
    _ grid: PoolingGrid, width: Int, height: Int, imageWidth: Int, imageHeight: Int
  ) -> (rows: Range<Int>, columns: Range<Int>) {
    // Of a cell's width and height, in cells.
    let shape = unpadding == .byCells ? Double(grid.windowColumns) / Double(grid.windowRows) : 1
    if Double(imageWidth) / Double(imageHeight) > Double(width) * shape / Double(height) {
      let newHeight = wholeCells(Double(imageHeight) * (Double(width) * shape / Double(imageWidth)))
      let padding = max((height - newHeight) / 2, 0)
      return (padding..<height - padding, 0..<width)
    }
    let newWidth = wholeCells(Double(imageWidth) * (Double(height) / shape / Double(imageHeight)))
    let padding = max((width - newWidth) / 2, 0)
    return (0..<height, padding..<width - padding)
  }

  private func wholeCells(_ extent: Double) -> Int {
    switch unpadding {
    case .truncates, .byCells: Int(extent)
    // Python rounds the decimal fraction correctly; products here are either whole to within an ulp or far from it.
    case .roundsFirst: Int((extent * 1e7).rounded(.toNearestOrEven) / 1e7)
    }
  }

  /// Rows of `features` by index; nil stands for the newline.
  private func assemble(_ features: FloatMatrix, _ sources: [Int?]) -> FloatMatrix {
    let out = FloatMatrix(rows: sources.count, columns: features.columns)
    for (row, source) in sources.enumerated() {
      if let source {
        out.copyRows(source..<source + 1, of: features, toRow: row)
      } else {
        out.setRow(row, newline)
      }
    }
    return out
  }
}
