import CGristKernels
import GristCore

/// Activations quantized to int8, one scale a token and group.
final class QuantizedActivations {
  let codes: UnsafeMutablePointer<Int8>
  let scales: UnsafeMutablePointer<Float>
  let sums: UnsafeMutablePointer<Int32>

  /// - Parameter rotation: how each row is turned before it is rounded, as the columns of the weights were.
  init(_ x: FloatMatrix, groupSize: Int, rotation: Rotation = .none, compute: Compute) {
    precondition(rotation.fits(columns: x.columns))
    let padded = (x.columns + TileShape.blockColumns - 1) / TileShape.blockColumns * TileShape.blockColumns
    let groups = (x.columns + groupSize - 1) / groupSize
    func allocate<Element>(_ count: Int, of type: Element.Type) -> UnsafeMutablePointer<Element> {
      UnsafeMutableRawPointer.allocate(
        byteCount: count * MemoryLayout<Element>.stride, alignment: AlignedBuffer.alignment
      ).bindMemory(to: type, capacity: count)
    }
    let codes = allocate(x.rows * padded + 64, of: Int8.self)
    let scales = allocate(x.rows * groups, of: Float.self)
    let sums = allocate(x.rows * groups, of: Int32.self)
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
    UnsafeMutableRawPointer(codes).deallocate()
    UnsafeMutableRawPointer(scales).deallocate()
    UnsafeMutableRawPointer(sums).deallocate()
  }
}
