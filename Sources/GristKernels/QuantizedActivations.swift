import CGristKernels
import GristCore

/// Activations quantized to int8, one scale a token and group.
final class QuantizedActivations {
  let codes: UnsafeMutablePointer<Int8>
  let scales: UnsafeMutablePointer<Float>
  let sums: UnsafeMutablePointer<Int32>

  init(_ x: FloatMatrix, groupSize: Int, compute: Compute) {
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
      for token in range {
        kernels.quantize_activations(
          x.base + token * x.columns, x.columns, groupSize, codes + token * padded, scales + token * groups,
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
