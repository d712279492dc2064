/// The shape of a matrix quantized in groups of input columns and laid out in tiles of rows: what the file stores and
/// the kernels read. `Formats/grist.md` draws it.
public struct TileShape: Sendable, Equatable {
  /// Rows of one tile in the kernels' layout. The other layout, for tables that are looked up by row, has tiles of 1.
  public static let kernelTileRows = 16
  /// Columns come in blocks of this many; a narrower matrix is padded with codes of zero.
  public static let blockColumns = 8
  /// Group sizes the kernels know.
  public static let groupSizes = [32, 64, widestGroup]
  public static let widestGroup = 128

  public let rows: Int
  public let columns: Int
  public let codes: CodeWidth
  public let groupSize: Int
  /// 16 or 1.
  public let tileRows: Int

  /// Nil unless the group size and the tile's height are known, and the payload fits `Int`.
  public init?(rows: Int, columns: Int, codes: CodeWidth, groupSize: Int, tileRows: Int = kernelTileRows) {
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

  public var tiles: Int { (rows - 1) / tileRows + 1 }
  public var paddedColumns: Int { (columns - 1) / Self.blockColumns * Self.blockColumns + Self.blockColumns }
  public var groups: Int { (columns - 1) / groupSize + 1 }
  /// Bytes of one tile's codes; a multiple of 64 for tiles of 16 rows.
  public var codeBytesPerTile: Int { paddedColumns * tileRows * codes.bits / 8 }
  /// Bytes of one tile's f16 scales.
  public var scaleBytesPerTile: Int { groups * tileRows * 2 }
  public var bytesPerTile: Int { codeBytesPerTile + scaleBytesPerTile }
  public var payloadBytes: Int { tiles * bytesPerTile }
}
