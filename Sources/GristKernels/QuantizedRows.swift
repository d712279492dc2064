internal import CGristKernels
import GristCore

/// Expands rows of a run of tiles (all codes, then all scales; either layout) to f32. `run` must hold `tilesInRun`
/// whole tiles, `rows` count from the run's first row, and `out` has room for exactly these rows; every scale counts
/// `multiplier` times. Where columns were turned they are turned back.
///
/// - Precondition: The run and `out` have the lengths that tiles and rows ask for, and the run's scales lie at even
///   addresses.
package func expandQuantizedRows(
  _ rows: Range<Int>, of run: Bytes, tilesInRun: Int, shape: TileShape, coding: GroupCoding = GroupCoding(),
  multiplier: Float,
  into out: UnsafeMutableBufferPointer<Float>
) {
  precondition(rows.lowerBound >= 0 && rows.upperBound <= tilesInRun * shape.tileRows)
  precondition(run.count == tilesInRun * shape.bytesPerTile && out.count == rows.count * shape.columns)
  let scales = tilesInRun * shape.codeBytesPerTile
  run.withUnsafeBytes { bytes in
    guard let base = bytes.baseAddress, var target = out.baseAddress else { return }
    coding.withTable { table in
      var row = rows.lowerBound
      while row < rows.upperBound {
        let (tile, first) = (row / shape.tileRows, row % shape.tileRows)
        let count = min(shape.tileRows - first, rows.upperBound - row)
        expandTile(
          (base + tile * shape.codeBytesPerTile).assumingMemoryBound(to: UInt8.self),
          (base + scales + tile * shape.scaleBytesPerTile).assumingMemoryBound(to: UInt16.self),
          rows: first..<first + count, shape, coding, table: table, multiplier: multiplier, into: target)
        row += count
        target += count * shape.columns
      }
    }
  }
}

/// Rows of one tile to f32, [rows, columns], turned back where they were turned. `table` is the coding's, or nil.
func expandTile(
  _ codes: UnsafePointer<UInt8>, _ scales: UnsafePointer<UInt16>, rows: Range<Int>, _ shape: TileShape,
  _ coding: GroupCoding, table: UnsafePointer<Int8>?, multiplier: Float, into out: UnsafeMutablePointer<Float>
) {
  var stored = grist_stored_tile(
    codes: codes, scales: scales, table: table, bits: Int32(shape.codes.bits), tile_rows: shape.tileRows,
    columns: shape.columns, group_size: shape.groupSize, multiplier: multiplier)
  kernels.float_from_tile(&stored, rows.lowerBound, rows.count, out)
  coding.rotate(out, count: rows.count, columns: shape.columns)
}
