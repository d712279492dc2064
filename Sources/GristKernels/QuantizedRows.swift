import CGristKernels
import GristCore

/// Expands row `row` of a run of `rowsInRun` rows in the row layout (tiles of one row: all codes, then all scales) to
/// f32. `run` must hold the whole run and `out` one row; every scale counts `multiplier` times.
public func expandQuantizedRow(
  _ row: Int, of run: Bytes, rowsInRun: Int, shape: TileShape, multiplier: Float,
  into out: UnsafeMutableBufferPointer<Float>
) {
  precondition(shape.tileRows == 1 && row >= 0 && row < rowsInRun && out.count == shape.columns)
  precondition(run.count == rowsInRun * shape.bytesPerTile)
  run.withUnsafeBytes { bytes in
    let codes = row * shape.codeBytesPerTile
    let scales = rowsInRun * shape.codeBytesPerTile + row * shape.scaleBytesPerTile
    for column in 0..<shape.columns {
      let scaleOffset = scales + column / shape.groupSize * 2
      let bits = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: scaleOffset, as: UInt16.self))
      let code: Int
      if shape.bits == 8 {
        code = Int(Int8(bitPattern: bytes[codes + column]))
      } else {
        let byte = bytes[codes + column / 8 * 4 + column % 4]
        code = Int(column % 8 < 4 ? byte & 15 : byte >> 4) - 8
      }
      out[column] = grist_float_from_half(bits) * multiplier * Float(code)
    }
  }
}
