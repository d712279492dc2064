internal import CGristKernels
import GristCore

/// Expands rows of a run of tiles (all codes, then all scales; either layout) to f32. `run` must hold `tilesInRun` whole
/// tiles, `rows` count from the run's first row, and `out` has room for exactly these rows; every scale counts
/// `multiplier` times. Where columns were turned they are turned back.
///
/// - Precondition: The run and `out` have the lengths that tiles and rows ask for, and the run's scales lie at even addresses.
public func expandQuantizedRows(
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
        var stored = grist_stored_tile(
          codes: (base + tile * shape.codeBytesPerTile).assumingMemoryBound(to: UInt8.self),
          scales: (base + scales + tile * shape.scaleBytesPerTile).assumingMemoryBound(to: UInt16.self),
          table: table, bits: Int32(shape.bits), tile_rows: shape.tileRows, columns: shape.columns,
          group_size: shape.groupSize, multiplier: multiplier)
        kernels.float_from_tile(&stored, first, count, target)
        coding.rotate(target, count: count, columns: shape.columns)
        row += count
        target += count * shape.columns
      }
    }
  }
}
