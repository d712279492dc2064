import GristCheckpoints
import GristCore
import GristFormat
import GristKernels

/// What is converted: an upstream checkpoint folder, or a `.grist` file that is repacked or quantized further.
public struct ConversionSource: Sendable {
  public let path: String
  public let tensors: [SourceTensor]
  /// Small files that travel with the weights.
  public let files: [Checkpoint.SideFile]
  public let notes: [String]
  /// Files whose SHA-256 becomes provenance.
  let weightFiles: [Checkpoint.WeightFile]
  /// Of a `.grist`: the provenance it already has, which stays true.
  let inherited: Provenance?

  /// A checkpoint folder, or a `.grist` file. Throws 66 and 65 as their readers do.
  public static func open(path: String, visionTower: String? = nil) throws -> ConversionSource {
    switch fileKind(at: path) {
    case .folder: return ConversionSource(try Checkpoint(path: path, visionTower: visionTower))
    case nil: throw GristError(.missingInput, "no such checkpoint folder or .grist file", file: path)
    default:
      guard visionTower == nil else {
        throw GristError(.usage, "--vision-tower goes with a checkpoint folder", file: path)
      }
      return try ConversionSource(GristFile(path: path))
    }
  }

  /// Where the header of a source's weight file is kept inside a `.grist`.
  static let headerFolder = "source/"

  init(_ checkpoint: Checkpoint) {
    path = checkpoint.path
    tensors = checkpoint.tensors
    notes = checkpoint.notes
    weightFiles = checkpoint.weightFiles
    files =
      checkpoint.sideFiles
      + checkpoint.weightFiles.map {
        Checkpoint.SideFile(name: Self.headerFolder + $0.name + ".header", bytes: $0.header)
      }
    inherited = nil
  }

  /// Quantized tensors of a `.grist` are expanded to f32 when they are converted again.
  init(_ file: GristFile) throws {
    path = file.path
    tensors = try file.manifest.tensors.map { record in
      let type: ElementType = if case .plain(let type) = record.scheme { type } else { .f32 }
      guard
        let tensor = SourceTensor(
          name: record.name, elementType: type, shape: record.shape, file: file.path, offset: 0,
          storage: GristTensorStorage(file: file, record: record))
      else { throw GristError(.badData, "the shape is too large", file: file.path, tensor: record.name) }
      return tensor
    }
    // A record of reference answers belongs to the weights it was made from, and so stays with them.
    files = try file.manifest.files.map { record in
      guard let bytes = try file.sideFile(named: record.name) else {
        throw GristError(.badData, "a file it should hold is not there", file: file.path, found: record.name)
      }
      return Checkpoint.SideFile(name: record.name, bytes: bytes)
    }
    notes =
      file.manifest.tensors.contains { if case .grouped = $0.scheme { true } else { false } }
      ? ["some tensors are quantized already: what was lost then stays lost"] : []
    weightFiles = []
    inherited = file.manifest.provenance
  }

  /// The model's configuration; nil when the architecture is unknown and tensors can only be stored.
  public func configuration() throws -> ModelConfiguration? {
    guard let bytes = files.first(where: { $0.name == "config.json" })?.bytes else { return nil }
    let place = joinPath(path, "config.json")
    let json = try JSONReader(locating(file: place) { try JSONValue.parse(bytes) }, file: place)
    guard ModelConfiguration.isKnown(json) else { return nil }
    return try ModelConfiguration(path: path) { name in files.first { $0.name == name }?.bytes }
  }
}

/// Reads a tensor of a `.grist` file by byte range; quantized ones read as f32.
private struct GristTensorStorage: TensorStorage {
  let file: GristFile
  let record: TensorRecord

  func bytes(_ range: Range<Int>) throws -> Bytes {
    guard let units = PayloadUnits(scheme: record.scheme, shape: record.shape), !range.isEmpty else { return Bytes() }
    switch record.scheme {
    case .plain:
      let pieces = try chunks(range, bytesPerUnit: units.bytesPerUnit).map { chunk -> Bytes in
        let start = chunk * record.chunks.unitsPerChunk * units.bytesPerUnit
        let payload = try file.payload(ofChunk: record.chunks.first + chunk)
        let wanted = range.clamped(to: start..<start + payload.count)
        return payload.slice(wanted.lowerBound - start, wanted.count) ?? Bytes()
      }
      return pieces.count == 1 ? pieces[0] : Bytes(pieces.flatMap(\.array))
    case .grouped(let grouped):
      return try expand(grouped, range)
    }
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
          rebasing: out[(rowsHere.lowerBound - wanted.lowerBound) * columns..<(rowsHere.upperBound - wanted.lowerBound) * columns])
        expandQuantizedRows(
          rowsHere.lowerBound - firstRow..<rowsHere.upperBound - firstRow, of: run, tilesInRun: runTiles, shape: shape,
          multiplier: grouped.multiplier, into: target)
      }
    }
    let start = range.lowerBound - wanted.lowerBound * rowBytes
    return buffer.bytes.slice(start, range.count) ?? Bytes()
  }

  func release(_ range: Range<Int>) {
    for chunk in record.chunks.range where file.isRaw(chunk: chunk) { file.release(chunk: chunk) }
  }
}
