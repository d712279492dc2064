import CGristKernels
import GristCore

/// int8 or int4 weights in tiles, in one or more runs; a run holds the codes of its tiles, then their scales.
public struct TiledWeights: LinearWeights {
  public let shape: TileShape
  private let runs: [Bytes]
  private let tilesPerRun: Int
  private let multiplier: Float

  /// `runs` hold `tilesPerRun` tiles each, the last one what remains; every scale counts `multiplier` times. Returns
  /// nil when the runs' lengths do not fit the shape or a run does not start on an even address.
  public init?(shape: TileShape, multiplier: Float, runs: [Bytes], tilesPerRun: Int) {
    guard shape.tileRows == TileShape.kernelTileRows, tilesPerRun > 0,
      runs.count == (shape.tiles + tilesPerRun - 1) / tilesPerRun
    else { return nil }
    for (index, run) in runs.enumerated() {
      let tiles = min(tilesPerRun, shape.tiles - index * tilesPerRun)
      guard run.count == tiles * shape.bytesPerTile else { return nil }
      guard run.withUnsafeBytes({ UInt(bitPattern: $0.baseAddress) % 2 == 0 }) else { return nil }
    }
    self.shape = shape
    self.multiplier = multiplier
    self.runs = runs
    self.tilesPerRun = tilesPerRun
  }

  public var rows: Int { shape.rows }
  public var columns: Int { shape.columns }

  /// Calls `body` with the codes and scales of the tiles of `range` that lie in one run, run by run.
  private func forEachRun(
    _ range: Range<Int>,
    _ body: (_ tiles: Range<Int>, _ codes: UnsafePointer<UInt8>, _ scales: UnsafePointer<UInt16>) -> Void
  ) {
    var tile = range.lowerBound
    while tile < range.upperBound {
      let run = tile / tilesPerRun
      let first = run * tilesPerRun
      let end = min(first + tilesPerRun, range.upperBound)
      let tilesInRun = min(tilesPerRun, shape.tiles - first)
      runs[run].withUnsafeBytes { buffer in
        guard let base = buffer.baseAddress else { return }
        let codes = base + (tile - first) * shape.codeBytesPerTile
        let scales = base + tilesInRun * shape.codeBytesPerTile + (tile - first) * shape.scaleBytesPerTile
        body(tile..<end, codes.assumingMemoryBound(to: UInt8.self), scales.assumingMemoryBound(to: UInt16.self))
      }
      tile = end
    }
  }

  public func expand(_ range: Range<Int>, into out: UnsafeMutablePointer<Float>) {
    let tileRows = TileShape.kernelTileRows
    let convert = shape.bits == 8 ? kernels.float_from_int8_tile : kernels.float_from_int4_tile
    let scratch = FloatMatrix(rows: tileRows, columns: columns)
    let tiles = range.lowerBound / tileRows..<(range.upperBound + tileRows - 1) / tileRows
    forEachRun(tiles) { tiles, codes, scales in
      for tile in tiles {
        let index = tile - tiles.lowerBound
        let wanted = (tile * tileRows..<(tile + 1) * tileRows).clamped(to: range)
        let destination = out + (wanted.lowerBound - range.lowerBound) * columns
        let whole = wanted.count == tileRows
        convert?(
          codes + index * shape.codeBytesPerTile, scales + index * shape.scaleBytesPerTile / 2, columns,
          shape.groupSize, multiplier, whole ? destination : scratch.base)
        if !whole {
          destination.update(
            from: scratch.base + (wanted.lowerBound - tile * tileRows) * columns, count: wanted.count * columns)
        }
      }
    }
  }

  public func multiply(_ x: FloatMatrix, bias: [Float]?, into out: FloatMatrix, compute: Compute) {
    guard compute.activations == .int8 else {
      return multiplyExpanded(x, bias: bias, into: out, compute: compute)
    }
    let activations = QuantizedActivations(x, shape: shape, compute: compute)
    let tilesPerTask = max(1, min(16, shape.tiles / (compute.pool.threadCount * 4)))
    let tasks = (shape.tiles + tilesPerTask - 1) / tilesPerTask
    let run = shape.bits == 8 ? kernels.multiply_int8_tiles : kernels.multiply_int4_tiles
    withOptionalPointer(bias) { bias in
      compute.pool.run(tasks) { task, _ in
        let range = task * tilesPerTask..<min((task + 1) * tilesPerTask, shape.tiles)
        forEachRun(range) { tiles, codes, scales in
          let firstRow = tiles.lowerBound * TileShape.kernelTileRows
          var product = grist_tile_product(
            codes: codes, scales: scales, tiles: tiles.count, columns: columns, group_size: shape.groupSize,
            rows: min(rows - firstRow, tiles.count * TileShape.kernelTileRows), multiplier: multiplier,
            bias: bias.map { $0 + firstRow }, activations: activations.codes, activation_scales: activations.scales,
            activation_sums: activations.sums, tokens: x.rows, out: out.base + firstRow, out_stride: out.columns)
          run?(&product)
        }
      }
    }
  }
}

private func withOptionalPointer(_ values: [Float]?, _ body: (UnsafePointer<Float>?) -> Void) {
  guard let values else { return body(nil) }
  values.withUnsafeBufferPointer { body($0.baseAddress) }
}

/// Activations quantized to int8, one scale a token and group.
private final class QuantizedActivations {
  let codes: UnsafeMutablePointer<Int8>
  let scales: UnsafeMutablePointer<Float>
  let sums: UnsafeMutablePointer<Int32>

  init(_ x: FloatMatrix, shape: TileShape, compute: Compute) {
    let padded = shape.paddedColumns
    let groups = shape.groups
    func allocate<Element>(_ count: Int, of type: Element.Type) -> UnsafeMutablePointer<Element> {
      UnsafeMutableRawPointer.allocate(
        byteCount: count * MemoryLayout<Element>.stride, alignment: AlignedBuffer.alignment
      ).bindMemory(to: type, capacity: count)
    }
    let codes = allocate(x.rows * padded + 64, of: Int8.self)
    let scales = allocate(x.rows * groups, of: Float.self)
    let sums = allocate(x.rows * groups, of: Int32.self)
    compute.overRows(x.rows, cost: x.columns) { range in
      for token in range {
        kernels.quantize_activations(
          x.base + token * x.columns, x.columns, shape.groupSize, codes + token * padded, scales + token * groups,
          sums + token * groups)
      }
    }
    self.codes = codes
    self.scales = scales
    self.sums = sums
  }

  deinit {
    UnsafeMutableRawPointer(codes).deallocate()
    UnsafeMutableRawPointer(scales).deallocate()
    UnsafeMutableRawPointer(sums).deallocate()
  }
}
