/// The shape of a matrix quantized in groups of input columns and laid out in tiles of rows: what the file stores and
/// the kernels read. `Formats/grist-v1.md` draws it.
package struct TileShape: Sendable, Equatable {
  /// Rows of one tile in the kernels' layout. The other layout, for tables that are looked up by row, has tiles of 1.
  package static let kernelTileRows = 16
  /// Columns come in blocks of this many; a narrower matrix is padded with codes of zero.
  package static let blockColumns = 8
  /// Group sizes the kernels know.
  package static let groupSizes = [32, 64, widestGroup]
  package static let widestGroup = 128

  package let rows: Int
  package let columns: Int
  package let codes: CodeWidth
  package let groupSize: Int
  /// 16 or 1.
  package let tileRows: Int

  /// Nil unless the group size and the tile's height are known, and the payload fits `Int`.
  package init?(rows: Int, columns: Int, codes: CodeWidth, groupSize: Int, tileRows: Int = kernelTileRows) {
    guard rows > 0, columns > 0, Self.groupSizes.contains(groupSize),
      tileRows == 1 || tileRows == Self.kernelTileRows
    else { return nil }
    // Codes and scales with their padding stay well below 8 bytes a padded weight.
    guard let paddedRows = rows.roundedUp(toMultipleOf: tileRows),
      let paddedColumns = columns.roundedUp(toMultipleOf: Self.blockColumns),
      elementCount(of: [paddedRows, paddedColumns, 8]) != nil
    else { return nil }
    self.rows = rows
    self.columns = columns
    self.codes = codes
    self.groupSize = groupSize
    self.tileRows = tileRows
  }

  package var tiles: Int { (rows - 1) / tileRows + 1 }
  package var paddedColumns: Int { (columns - 1) / Self.blockColumns * Self.blockColumns + Self.blockColumns }
  package var groups: Int { (columns - 1) / groupSize + 1 }
  /// Bytes of one tile's codes; a multiple of 64 for tiles of 16 rows.
  package var codeBytesPerTile: Int { paddedColumns * tileRows * codes.bits / 8 }
  /// Bytes of one tile's f16 scales.
  package var scaleBytesPerTile: Int { groups * tileRows * 2 }
  package var bytesPerTile: Int { codeBytesPerTile + scaleBytesPerTile }
  package var payloadBytes: Int { tiles * bytesPerTile }
}
