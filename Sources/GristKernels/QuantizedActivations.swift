internal import CGristKernels
import GristCore

/// Activations quantized to int8, one scale a token and group.
final class QuantizedActivations: @unchecked Sendable {
  // Unchecked: written while it is made, and never again.
  let codes: UnsafeMutablePointer<Int8>
  let scales: UnsafeMutablePointer<Float>
  let sums: UnsafeMutablePointer<Int32>
  private let codeCount: Int
  private let scaleCount: Int

  /// - Parameter rotation: how each row is turned before it is rounded, as the columns of the weights were.
  init(_ x: FloatMatrix, groupSize: Int, rotation: Rotation = .none, compute: Compute) {
    precondition(rotation.fits(columns: x.columns))
    let padded = (x.columns + TileShape.blockColumns - 1) / TileShape.blockColumns * TileShape.blockColumns
    let groups = (x.columns + groupSize - 1) / groupSize
    codeCount = x.rows * padded + 64
    scaleCount = x.rows * groups
    // Every token has its own place.
    nonisolated(unsafe) let codes = RecycledMemory.take(byteCount: codeCount).bindMemory(
      to: Int8.self, capacity: codeCount)
    nonisolated(unsafe) let scales = RecycledMemory.take(byteCount: scaleCount * 4).bindMemory(
      to: Float.self, capacity: max(scaleCount, 1))
    nonisolated(unsafe) let sums = RecycledMemory.take(byteCount: scaleCount * 4).bindMemory(
      to: Int32.self, capacity: max(scaleCount, 1))
    compute.overRows(x.rows, cost: x.columns) { range in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: rotation == .none ? 0 : x.columns) { turned in
        for token in range {
          var row = UnsafePointer(x.base + token * x.columns)
          if rotation != .none, let target = turned.baseAddress {
            kernels.rotate_blocks(row, target, x.columns)
            row = UnsafePointer(target)
          }
          kernels.quantize_activations(
            row, x.columns, groupSize, codes + token * padded, scales + token * groups, sums + token * groups)
        }
      }
    }
    self.codes = codes
    self.scales = scales
    self.sums = sums
  }

  deinit {
    RecycledMemory.give(codes, byteCount: codeCount)
    RecycledMemory.give(scales, byteCount: scaleCount * 4)
    RecycledMemory.give(sums, byteCount: scaleCount * 4)
  }
}
