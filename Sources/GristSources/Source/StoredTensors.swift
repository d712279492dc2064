import GristCore
import GristFormat
import GristKernels

extension GristFile {
  /// The file's tensors as if they came from a checkpoint: plain ones as they are stored, quantized ones expanded to
  /// f32.
  ///
  /// - Throws: 65 when a shape is too large for that.
  package func sourceTensors() throws -> [SourceTensor] {
    try manifest.tensors.map { record in
      let type: ElementType = if case .plain(let type) = record.scheme { type } else { .f32 }
      guard
        let tensor = SourceTensor(
          name: record.name, elementType: type, shape: record.shape, file: path, offset: nil,
          storage: GristTensorStorage(file: self, record: record))
      else { throw GristError(.badData, "the shape is too large", file: path, tensor: record.name) }
      return record.unused.map { tensor.unused(because: $0) } ?? tensor
    }
  }
}

/// Reads a tensor of a `.grist` file by byte range; quantized ones read as f32.
private struct GristTensorStorage: TensorStorage {
  let file: GristFile
  let record: TensorRecord

  func bytes(_ range: Range<Int>) throws -> Bytes {
    if range.isEmpty { return Bytes() }
    switch record.scheme {
    case .unknown(let scheme): throw scheme.error(file: file.path, tensor: record.name)
    case .plain:
      guard let units = PayloadUnits(scheme: record.scheme, shape: record.shape) else {
        throw GristError(.badData, "the scheme cannot hold the shape", file: file.path, tensor: record.name)
      }
      let pieces = try chunks(range, bytesPerUnit: units.bytesPerUnit).map { chunk -> Bytes in
        let start = chunk * record.chunks.unitsPerChunk * units.bytesPerUnit
        let payload = try file.payload(ofChunk: record.chunks.first + chunk)
        let wanted = range.clamped(to: start..<start + payload.count)
        return try slice(payload, wanted.lowerBound - start, wanted.count)
      }
      return pieces.count == 1 ? pieces[0] : Bytes(pieces.flatMap(\.array))
    case .grouped(let grouped):
      return try expand(grouped, range)
    }
  }

  /// A part of some bytes; that it is not inside would be a fault of the arithmetic here or of the file.
  private func slice(_ bytes: Bytes, _ start: Int, _ count: Int) throws -> Bytes {
    guard let slice = bytes.slice(start, count) else {
      throw GristError(
        .badData, "the tensor's chunks do not hold the bytes asked for", file: file.path, tensor: record.name,
        found: "\(count) bytes at \(start) of \(bytes.count)")
    }
    return slice
  }

  /// The chunks, counted from the tensor's first, that hold a byte range.
  private func chunks(_ range: Range<Int>, bytesPerUnit: Int) -> ClosedRange<Int> {
    let perChunk = record.chunks.unitsPerChunk * max(bytesPerUnit, 1)
    return range.lowerBound / perChunk...(range.upperBound - 1) / perChunk
  }

  private func expand(_ grouped: TensorScheme.GroupedScheme, _ range: Range<Int>) throws -> Bytes {
    guard let (rows, columns) = matrixExtents(record.shape), let shape = grouped.shape(rows: rows, columns: columns)
    else { throw GristError(.badData, "the scheme cannot hold the shape", file: file.path, tensor: record.name) }
    let rowBytes = columns * 4
    let wanted = range.lowerBound / rowBytes..<(range.upperBound - 1) / rowBytes + 1
    let buffer = AlignedBuffer(byteCount: wanted.count * rowBytes)
    let unitsPerChunk = record.chunks.unitsPerChunk
    try buffer.withUnsafeMutableBytes { raw in
      let out = raw.bindMemory(to: Float.self)
      let firstChunk = wanted.lowerBound / shape.tileRows / unitsPerChunk
      let lastChunk = (wanted.upperBound - 1) / shape.tileRows / unitsPerChunk
      for chunk in firstChunk...lastChunk {
        let firstRow = chunk * unitsPerChunk * shape.tileRows
        let run = try file.payload(ofChunk: record.chunks.first + chunk)
        let runTiles = run.count / shape.bytesPerTile
        let rowsHere = (firstRow..<min(firstRow + runTiles * shape.tileRows, rows)).clamped(to: wanted)
        let target = UnsafeMutableBufferPointer(
          rebasing: out[
            (rowsHere.lowerBound - wanted.lowerBound) * columns..<(rowsHere.upperBound - wanted.lowerBound) * columns])
        expandQuantizedRows(
          rowsHere.lowerBound - firstRow..<rowsHere.upperBound - firstRow, of: run, tilesInRun: runTiles, shape: shape,
          coding: grouped.coding, multiplier: grouped.multiplier, into: target)
      }
    }
    let start = range.lowerBound - wanted.lowerBound * rowBytes
    return try slice(buffer.bytes, start, range.count)
  }

  func release(_ range: Range<Int>) {
    for chunk in record.chunks.range where file.isRaw(chunk: chunk) { file.release(chunk: chunk) }
  }
}
