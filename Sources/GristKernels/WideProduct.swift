internal import CGristKernels
import GristCore

/// Products of many rows with weights that become wide tiles first: int8 codes with one scale a row and 256 columns.
///
/// A block of weights that stays in the second-level cache is converted once, and then meets all rows: nothing is
/// looked up and no group ends within 256 columns where rows are multiplied. Activations are rounded with one scale for
/// the same 256 columns. What that adds is a hundredth of int4's own error, see Docs/quantization.md.
struct WideProduct {
  /// Columns that share a scale.
  static let groupSize = Int(GRIST_WIDE_GROUP)

  let columns: Int
  let tiles: Int
  let multiplier: Float
  /// Writes the wide tiles of some of the weights' tiles.
  let widen:
    @Sendable (_ tiles: Range<Int>, _ codes: UnsafeMutablePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>) -> Void

  /// Whether the kernels of this machine gain by it.
  static var isOffered: Bool {
    kernels.widen_tile != nil && kernels.widen_rows != nil && kernels.multiply_wide_tiles != nil
  }

  /// Scales of a tile of so many columns.
  static func scalesPerTile(columns: Int) -> Int {
    (columns + groupSize - 1) / groupSize * TileShape.kernelTileRows
  }

  /// Bytes of a tile of so many columns.
  static func codeBytesPerTile(columns: Int) -> Int {
    (columns + TileShape.blockColumns - 1) / TileShape.blockColumns * TileShape.blockColumns
      * TileShape.kernelTileRows
  }

  /// - Parameter rows: of the weights, all tiles' but for what the last has too many.
  func product(
    _ activations: QuantizedActivations, tokens: Int, bias: [Float]?, rows: Int, into out: FloatMatrix, compute: Compute
  ) -> LinearProduct {
    let codeBytesPerTile = Self.codeBytesPerTile(columns: columns)
    let together = max(1, kernels.tiles_together)
    let most = max(
      together, KernelTuning.blockBytes(of: .int8) / max(codeBytesPerTile, 1))
    let tasks = TileTasks(
      tiles: tiles, tilesPerRun: tiles, wanted: max(1, min(most, tiles / (compute.pool.threadCount * 4))),
      together: together)
    // A worker's codes and scales, apart from the next one's by whole lines of the cache.
    let tilesATask = (0..<tasks.count).lazy.map { tasks[$0].count }.max() ?? 0
    let codeBytes = (tilesATask * codeBytesPerTile + 63) / 64 * 64
    let scaleCount = tilesATask * Self.scalesPerTile(columns: columns)
    let scratch = FloatMatrix(
      uninitializedRows: compute.pool.threadCount, columns: codeBytes / 4 + (scaleCount + 15) / 16 * 16 + 16)
    return LinearProduct(tasks: tasks.count) { task, worker in
      let tiles = tasks[task]
      guard !tiles.isEmpty else { return }
      let place = UnsafeMutableRawPointer(scratch.base + worker * scratch.columns)
      let codes = place.assumingMemoryBound(to: UInt8.self)
      let scales = (place + codeBytes).assumingMemoryBound(to: Float.self)
      widen(tiles, codes, scales)
      let firstRow = tiles.lowerBound * TileShape.kernelTileRows
      withOptionalPointer(bias) { bias in
        var product = grist_tile_product(
          codes: codes, scales: nil, table: nil, tiles: tiles.count, columns: columns, group_size: Self.groupSize,
          rows: min(rows - firstRow, tiles.count * TileShape.kernelTileRows), multiplier: multiplier,
          bias: bias.map { $0 + firstRow }, activations: activations.codes, activation_scales: activations.scales,
          activation_sums: activations.sums, tokens: tokens, out: out.base + firstRow, out_stride: out.columns,
          wide_scales: scales)
        kernels.multiply_wide_tiles?(&product)
      }
    }
  }
}

func withOptionalPointer(_ values: [Float]?, _ body: (UnsafePointer<Float>?) -> Void) {
  guard let values else { return body(nil) }
  values.withUnsafeBufferPointer { body($0.baseAddress) }
}
