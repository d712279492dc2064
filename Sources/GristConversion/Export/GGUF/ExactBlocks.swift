import GristCore
import GristFormat
import GristKernels
import GristSources
internal import Synchronization

/// A quantized tensor's own codes and scales as Q8_0: what a scale multiplies is a whole number of 8 bits, and a group
/// is one or more blocks of 32, so nothing more is lost. That needs columns that were not turned, and scales that f16
/// holds with their exponent.
struct ExactBlocks: Sendable {
  private let file: GristFile
  private let record: TensorRecord
  private let scheme: TensorScheme.GroupedScheme
  private let shape: TileShape
  /// The values, rows in the order in which they are written.
  private let values: SourceTensor
  /// The stored row of one that is written.
  private let storedRow: @Sendable (Int) -> Int
  private let scales: Scales

  /// - Parameters:
  ///   - record: in `file`.
  ///   - values: the same, expanded to f32, with its rows in the order in which they are to be written.
  ///   - storedRow: which row of the stored tensor one of those is.
  ///
  /// Nil where codes cannot be kept.
  init?(
    _ record: TensorRecord, in file: GristFile, values: SourceTensor, storedRow: @escaping @Sendable (Int) -> Int
  ) {
    guard case .grouped(let scheme) = record.scheme, scheme.coding.rotation == .none, scheme.scaleExponent == 0,
      let (rows, columns) = matrixExtents(record.shape), columns % Q8Blocks.width == 0,
      scheme.groupSize % Q8Blocks.width == 0, let shape = scheme.shape(rows: rows, columns: columns)
    else { return nil }
    self.file = file
    self.record = record
    self.scheme = scheme
    self.shape = shape
    self.values = values
    self.storedRow = storedRow
    scales = Scales()
  }

  /// Read when they are first needed, and forgotten with the tensor's last byte.
  private final class Scales: Sendable {
    let known = Mutex<(bits: [UInt16], values: [Float])?>(nil)
  }

  /// All scales, [rows, groups]: f16's bits, and what they stand for.
  private func allScales() throws -> (bits: [UInt16], values: [Float]) {
    try scales.known.withLock { known in
      if let known { return known }
      var found = [UInt16](repeating: 0, count: shape.rows * shape.groups)
      for (place, chunk) in record.chunks.range.enumerated() {
        let payload = try file.payload(ofChunk: chunk)
        let tiles = payload.count / shape.bytesPerTile
        for tile in 0..<tiles {
          let start = tiles * shape.codeBytesPerTile + tile * shape.scaleBytesPerTile
          let firstRow = (place * record.chunks.unitsPerChunk + tile) * shape.tileRows
          for row in 0..<min(shape.tileRows, shape.rows - firstRow) {
            for group in 0..<shape.groups {
              guard let bits = payload.integer(at: start + 2 * (group * shape.tileRows + row), as: UInt16.self) else {
                throw GristError(.badData, "scales end too soon", file: file.path, tensor: record.name)
              }
              found[(firstRow + row) * shape.groups + group] = bits
            }
          }
        }
      }
      let all = (found, floats(Bytes(found.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }), .f16))
      known = all
      return all
    }
  }

  /// - Throws: 65 when the file is damaged.
  func bytes(_ range: Range<Int>) throws -> Bytes {
    let scales = try allScales()
    let source = Q8Blocks.sourceRange(range)
    let values = try self.values.bytes(source)
    let blocks = values.count / (Q8Blocks.width * 4)
    let first = source.lowerBound / (Q8Blocks.width * 4)
    let perRow = shape.columns / Q8Blocks.width
    let buffer = AlignedBuffer(byteCount: blocks * Q8Blocks.byteCount)
    buffer.withUnsafeMutableBytes { target in
      values.withUnsafeBytes { values in
        for block in 0..<blocks {
          let (row, column) = ((first + block) / perRow, (first + block) % perRow * Q8Blocks.width)
          let group = storedRow(row) * shape.groups + column / scheme.groupSize
          let (bits, scale) = (scales.bits[group], scales.values[group])
          let start = block * Q8Blocks.byteCount
          target.storeBytes(of: bits.littleEndian, toByteOffset: start, as: UInt16.self)
          for place in 0..<Q8Blocks.width {
            let value = values.loadUnaligned(fromByteOffset: (block * Q8Blocks.width + place) * 4, as: Float.self)
            let code = scale == 0 ? 0 : (value / scale).rounded()
            target.storeBytes(of: Int8(clamping: Int(code)), toByteOffset: start + 2 + place, as: Int8.self)
          }
        }
      }
    }
    guard let slice = buffer.bytes.slice(range.lowerBound % Q8Blocks.byteCount, range.count) else {
      throw GristError(.badData, "the values end too soon", file: file.path, tensor: record.name)
    }
    return slice
  }

  func release(_ range: Range<Int>) {
    values.release(Q8Blocks.sourceRange(range))
    if range.upperBound == byteCount { scales.known.withLock { $0 = nil } }
  }

  var byteCount: Int { shape.rows * (shape.columns / Q8Blocks.width) * Q8Blocks.byteCount }
}
