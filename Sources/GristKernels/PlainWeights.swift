internal import CGristKernels
import GristCore

/// Weights stored element by element, row-major, in one or more runs of whole rows.
package struct PlainWeights: LinearWeights {
  package let rows: Int
  package let columns: Int
  package var isQuantized: Bool { false }
  package let elementType: ElementType
  private let runs: [Bytes]
  private let rowsPerRun: Int

  /// `runs` hold `rowsPerRun` rows each, the last one what remains. Returns nil when their lengths do not fit the
  /// shape, or the type is not a real number of at most 32 bits (f64 is converted by whoever reads the checkpoint).
  package init?(rows: Int, columns: Int, elementType: ElementType, runs: [Bytes], rowsPerRun: Int) {
    guard rows >= 0, columns >= 0, rowsPerRun > 0, [.f32, .f16, .bf16].contains(elementType) else { return nil }
    guard runs.count == (rows + rowsPerRun - 1) / rowsPerRun else { return nil }
    for (index, run) in runs.enumerated() {
      let runRows = min(rowsPerRun, rows - index * rowsPerRun)
      guard let count = elementCount(of: [runRows, columns, elementType.byteCount]), run.count == count else {
        return nil
      }
    }
    self.rows = rows
    self.columns = columns
    self.elementType = elementType
    self.runs = runs
    self.rowsPerRun = rowsPerRun
  }

  /// Calls `body` with the address of each row of `range`.
  private func forEachRow(_ range: Range<Int>, _ body: (Int, UnsafeRawPointer) -> Void) {
    let rowBytes = columns * elementType.byteCount
    var row = range.lowerBound
    while row < range.upperBound {
      let run = row / rowsPerRun
      let end = min((run + 1) * rowsPerRun, range.upperBound)
      runs[run].withUnsafeBytes { buffer in
        guard let base = buffer.baseAddress else { return }
        for inner in row..<end { body(inner, base + (inner - run * rowsPerRun) * rowBytes) }
      }
      row = end
    }
  }

  package func expand(_ range: Range<Int>, into out: UnsafeMutablePointer<Float>) {
    forEachRow(range) { row, source in
      expandElements(source, elementType, count: columns, into: out + (row - range.lowerBound) * columns)
    }
  }

  private func widen(
    _ range: Range<Int>, _ codes: UnsafeMutablePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>
  ) {
    let tileRows = TileShape.kernelTileRows
    let codeBytes = WideProduct.codeBytesPerTile(columns: columns)
    withUnsafeTemporaryAllocation(of: Float.self, capacity: tileRows * columns) { expanded in
      guard let base = expanded.baseAddress else { return }
      for (place, tile) in range.enumerated() {
        let wanted = tile * tileRows..<min((tile + 1) * tileRows, rows)
        expand(wanted, into: base)
        kernels.widen_rows?(
          base, wanted.count, columns, codes + place * codeBytes,
          scales + place * WideProduct.scalesPerTile(columns: columns))
      }
    }
  }

  package func product(
    _ input: LinearInput, bias: [Float]?, into out: FloatMatrix, compute: Compute
  ) -> LinearProduct {
    let x = input.x
    if compute.roundsPlainWeights, x.rows >= Compute.manyRows, columns > 0 {
      let activations = input.quantized(groupSize: WideProduct.groupSize, compute)
      let tiles = (rows + TileShape.kernelTileRows - 1) / TileShape.kernelTileRows
      return WideProduct(columns: columns, tiles: tiles, multiplier: 1, widen: widen).product(
        activations, tokens: x.rows, bias: bias, rows: rows, into: out, compute: compute)
    }
    guard x.rows == 1 else { return expandedProduct(x, bias: bias, into: out, compute: compute) }
    let rowsPerTask = max(1, 16384 / max(columns, 1))
    return LinearProduct(tasks: (rows + rowsPerTask - 1) / rowsPerTask) { task, _ in
      let range = task * rowsPerTask..<min((task + 1) * rowsPerTask, rows)
      forEachRow(range) { row, source in
        out.base[row] = dotElements(source, elementType, x.base, count: columns)
      }
      if let bias { addBias(bias, range, to: out) }
    }
  }
}

/// Whether an address suits the element type; checkpoints only promise bytes.
private func isAligned(_ source: UnsafeRawPointer, _ type: ElementType) -> Bool {
  UInt(bitPattern: source) % UInt(type.byteCount) == 0
}

/// Converts `count` elements at `source` (any alignment) to f32. Only f32, f16 and bf16.
func expandElements(
  _ source: UnsafeRawPointer, _ type: ElementType, count: Int, into out: UnsafeMutablePointer<Float>
) {
  guard isAligned(source, type) || type == .f32 else {
    return withAlignedCopy(source, byteCount: count * type.byteCount) {
      expandElements($0, type, count: count, into: out)
    }
  }
  switch type {
  case .f16: kernels.float_from_half(source.assumingMemoryBound(to: UInt16.self), out, count)
  case .bf16: kernels.float_from_bfloat(source.assumingMemoryBound(to: UInt16.self), out, count)
  default: UnsafeMutableRawPointer(out).copyMemory(from: source, byteCount: count * 4)
  }
}

private func dotElements(
  _ source: UnsafeRawPointer, _ type: ElementType, _ x: UnsafePointer<Float>, count: Int
) -> Float {
  guard isAligned(source, type) else {
    return withAlignedCopy(source, byteCount: count * type.byteCount) { dotElements($0, type, x, count: count) }
  }
  switch type {
  case .f16: return kernels.dot_half(source.assumingMemoryBound(to: UInt16.self), x, count)
  case .bf16: return kernels.dot_bfloat(source.assumingMemoryBound(to: UInt16.self), x, count)
  default: return kernels.dot_float(source.assumingMemoryBound(to: Float.self), x, count)
  }
}

private func withAlignedCopy<Result>(
  _ source: UnsafeRawPointer, byteCount: Int, _ body: (UnsafeRawPointer) -> Result
) -> Result {
  let copy = UnsafeMutableRawPointer.allocate(byteCount: max(byteCount, 1), alignment: AlignedBuffer.alignment)
  defer { copy.deallocate() }
  copy.copyMemory(from: source, byteCount: byteCount)
  return body(copy)
}

extension PlainWeights {
  /// Weights in one run. f64 is rounded to f32. Nil when the length does not fit or the type is no real number.
  package init?(rows: Int, columns: Int, bytes: Bytes, elementType: ElementType) {
    guard elementType != .f64 else {
      let converted = floats(bytes, .f64).withUnsafeBytes { Bytes([UInt8]($0)) }
      self.init(rows: rows, columns: columns, elementType: .f32, runs: [converted], rowsPerRun: max(rows, 1))
      return
    }
    self.init(rows: rows, columns: columns, elementType: elementType, runs: [bytes], rowsPerRun: max(rows, 1))
  }
}

/// Elements as f32. Empty when the type is not a real number.
package func floats(_ bytes: Bytes, _ type: ElementType) -> [Float] {
  guard type.isFloatingPoint else { return [] }
  let count = bytes.count / type.byteCount
  return [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
    expandElements(bytes, type, into: buffer)
    initialized = count
  }
}

/// Converts as many elements as both sides have to f32; any alignment; f64 is rounded. Types that are not real numbers
/// give zeros.
package func expandElements(_ bytes: Bytes, _ type: ElementType, into out: UnsafeMutableBufferPointer<Float>) {
  let count = min(bytes.count / type.byteCount, out.count)
  guard count > 0, let target = out.baseAddress else { return }
  bytes.withUnsafeBytes { source in
    guard let base = source.baseAddress else { return }
    switch type {
    case .f32, .f16, .bf16: expandElements(base, type, count: count, into: target)
    case .f64:
      for index in 0..<count { target[index] = Float(base.loadUnaligned(fromByteOffset: index * 8, as: Double.self)) }
    default: target.update(repeating: 0, count: count)
    }
  }
}
