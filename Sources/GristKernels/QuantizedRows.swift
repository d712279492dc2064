internal import CGristKernels
import GristCore

/// Expands rows of a run of tiles (all codes, then all scales; either layout) to f32. `run` must hold `tilesInRun` whole
/// tiles, `rows` count from the run's first row, and `out` has room for exactly these rows; every scale counts
/// `multiplier` times. Where columns were turned they are turned back.
///
/// - Precondition: The run and `out` have the lengths that tiles and rows ask for.
public func expandQuantizedRows(
  _ rows: Range<Int>, of run: Bytes, tilesInRun: Int, shape: TileShape, coding: GroupCoding = GroupCoding(),
  multiplier: Float,
  into out: UnsafeMutableBufferPointer<Float>
) {
  precondition(rows.lowerBound >= 0 && rows.upperBound <= tilesInRun * shape.tileRows)
  precondition(run.count == tilesInRun * shape.bytesPerTile && out.count == rows.count * shape.columns)
  run.withUnsafeBytes { bytes in
    for row in rows {
      let (tile, rowInTile) = (row / shape.tileRows, row % shape.tileRows)
      let codes = tile * shape.codeBytesPerTile
      let scales = tilesInRun * shape.codeBytesPerTile + tile * shape.scaleBytesPerTile
      let target = (row - rows.lowerBound) * shape.columns
      for column in 0..<shape.columns {
        let scaleOffset = scales + (column / shape.groupSize * shape.tileRows + rowInTile) * 2
        let bits = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: scaleOffset, as: UInt16.self))
        let code: Int
        if shape.bits == 8 {
          let offset = column / 4 * 4 * shape.tileRows + 4 * rowInTile + column % 4
          code = Int(Int8(bitPattern: bytes[codes + offset]))
        } else {
          let byte = bytes[codes + column / 8 * 4 * shape.tileRows + 4 * rowInTile + column % 4]
          let index = Int(column % 8 < 4 ? byte & 15 : byte >> 4)
          code = coding.table.map { Int($0.values[index]) } ?? index - 8
        }
        out[target + column] = grist_float_from_half(bits) * multiplier * Float(code)
      }
      if let base = out.baseAddress { coding.rotate(base + target, count: 1, columns: shape.columns) }
    }
  }
}
