internal import CGristKernels
import GristCore

/// int8 or int4 weights in tiles, in one or more runs; a run holds the codes of its tiles, then their scales.
package struct TiledWeights: LinearWeights {
  package let shape: TileShape
  private let runs: [Bytes]
  private let tilesPerRun: Int
  private let multiplier: Float
  private let coding: GroupCoding

  /// `runs` hold `tilesPerRun` tiles each, the last one what remains; every scale counts `multiplier` times. Returns
  /// nil when the runs' lengths do not fit the shape or a run does not start on an even address.
  package init?(
    shape: TileShape, coding: GroupCoding = GroupCoding(), multiplier: Float, runs: [Bytes], tilesPerRun: Int
  ) {
    guard shape.tileRows == TileShape.kernelTileRows, tilesPerRun > 0, coding.rotation.fits(columns: shape.columns),
      coding.table == nil || shape.codes.takesTable,
      runs.count == (shape.tiles + tilesPerRun - 1) / tilesPerRun
    else { return nil }
    for (index, run) in runs.enumerated() {
      let tiles = min(tilesPerRun, shape.tiles - index * tilesPerRun)
      guard run.count == tiles * shape.bytesPerTile else { return nil }
      guard run.withUnsafeBytes({ UInt(bitPattern: $0.baseAddress) % 2 == 0 }) else { return nil }
    }
    self.shape = shape
    self.multiplier = multiplier
    self.coding = coding
    self.runs = runs
    self.tilesPerRun = tilesPerRun
  }

  package var rows: Int { shape.rows }
  package var columns: Int { shape.columns }
  package var isQuantized: Bool { true }

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

  package func expand(_ range: Range<Int>, into out: UnsafeMutablePointer<Float>) {
    let tileRows = TileShape.kernelTileRows
    let tiles = range.lowerBound / tileRows..<(range.upperBound + tileRows - 1) / tileRows
    coding.withTable { table in
      forEachRun(tiles) { tiles, codes, scales in
        for tile in tiles {
          let index = tile - tiles.lowerBound
          let wanted = (tile * tileRows..<(tile + 1) * tileRows).clamped(to: range)
          let target = out + (wanted.lowerBound - range.lowerBound) * columns
          let first = wanted.lowerBound - tile * tileRows
          expandTile(
            codes + index * shape.codeBytesPerTile, scales + index * shape.scaleBytesPerTile / 2,
            rows: first..<first + wanted.count, shape, coding, table: table, multiplier: multiplier, into: target)
        }
      }
    }
  }

  /// int4 alone: what wide codes add to int8's own error would be as much again.
  private func becomesWide(rows: Int) -> Bool {
    rows >= Compute.manyRows && shape.codes == .int4 && WideProduct.isOffered
      && WideProduct.groupSize % shape.groupSize == 0
  }

  private func widen(
    _ range: Range<Int>, _ codes: UnsafeMutablePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>
  ) {
    let wideCodes = WideProduct.codeBytesPerTile(columns: columns)
    let wideScales = WideProduct.scalesPerTile(columns: columns)
    coding.withTable { table in
      forEachRun(range) { tiles, stored, storedScales in
        for tile in tiles {
          let (index, place) = (tile - tiles.lowerBound, tile - range.lowerBound)
          var tile = grist_stored_tile(
            codes: stored + index * shape.codeBytesPerTile, scales: storedScales + index * shape.scaleBytesPerTile / 2,
            table: table, bits: 4, tile_rows: TileShape.kernelTileRows, columns: columns, group_size: shape.groupSize,
            multiplier: multiplier)
          kernels.widen_tile?(&tile, codes + place * wideCodes, scales + place * wideScales)
        }
      }
    }
  }

  package func product(
    _ input: LinearInput, bias: [Float]?, into out: FloatMatrix, compute: Compute
  ) -> LinearProduct {
    guard compute.activations == .int8 else {
      return expandedProduct(input.x, bias: bias, into: out, compute: compute)
    }
    if becomesWide(rows: input.x.rows) {
      let activations = input.quantized(groupSize: WideProduct.groupSize, rotation: coding.rotation, compute)
      return WideProduct(columns: columns, tiles: shape.tiles, multiplier: multiplier, widen: widen).product(
        activations, tokens: input.x.rows, bias: bias, rows: rows, into: out, compute: compute)
    }
    let activations = input.quantized(groupSize: shape.groupSize, rotation: coding.rotation, compute)
    // A single row runs through memory, best in long stretches. Several take as many tiles as stay in the second-level
    // cache together: with more, the last task would keep one thread busy and the others idle.
    let (multiply, cachedBytes) = (shape.codes.multiply, KernelTuning.blockBytes(of: shape.codes))
    let isOneRow = input.x.rows == 1
    let most = isOneRow ? grist_tuning_in_use().lone_tiles : min(cachedBytes / max(shape.codeBytesPerTile, 1), 16)
    let tasks = TileTasks(
      tiles: shape.tiles, tilesPerRun: isOneRow ? shape.tiles : tilesPerRun,
      wanted: max(1, min(most, shape.tiles / (compute.pool.threadCount * 4))),
      together: isOneRow ? 1 : max(1, kernels.tiles_together))
    let x = input.x
    return LinearProduct(tasks: tasks.count) { task, _ in
      coding.withTable { table in
        withOptionalPointer(bias) { bias in
          forEachRun(tasks[task]) { tiles, codes, scales in
            let firstRow = tiles.lowerBound * TileShape.kernelTileRows
            var product = grist_tile_product(
              codes: codes, scales: scales, table: table, tiles: tiles.count, columns: columns,
              group_size: shape.groupSize, rows: min(rows - firstRow, tiles.count * TileShape.kernelTileRows),
              multiplier: multiplier, bias: bias.map { $0 + firstRow }, activations: activations.codes,
              activation_scales: activations.scales, activation_sums: activations.sums, tokens: x.rows,
              out: out.base + firstRow, out_stride: out.columns, wide_scales: nil)
            multiply?(&product)
          }
        }
      }
    }
  }
}

extension CodeWidth {
  /// What multiplies tiles of such codes.
  fileprivate var multiply: (@convention(c) (UnsafePointer<grist_tile_product>?) -> Void)? {
    switch self {
    case .int4: kernels.multiply_int4_tiles
    case .int8: kernels.multiply_int8_tiles
    }
  }
}
