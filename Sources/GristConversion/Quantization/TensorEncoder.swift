import GristCore
import GristFormat
import GristKernels
import GristSources

/// Turns a source tensor into a payload of some scheme, a range of units at a time, so that no tensor is ever held
/// whole.
package struct TensorEncoder: Sendable {
  package let source: SourceTensor
  package let scheme: TensorScheme
  package let units: PayloadUnits
  private let rows: Int
  private let columns: Int
  private let rowBytes: Int
  /// Of the inputs that the matrix meets, for schemes whose codes have a table.
  private let feedback: ErrorFeedback?

  /// - Throws: 65 when the scheme cannot hold the tensor's shape.
  package init(_ source: SourceTensor, scheme: TensorScheme, feedback: ErrorFeedback? = nil) throws {
    guard let units = PayloadUnits(scheme: scheme, shape: source.shape) else {
      throw GristError(
        .badData, "the scheme \(scheme.name) cannot hold the shape", file: source.file, tensor: source.name,
        found: "\(source.shape)")
    }
    self.source = source
    self.scheme = scheme
    self.units = units
    self.feedback = feedback
    guard source.elementType.isWholeBytes else {
      // Carried byte by byte.
      (rows, columns, rowBytes) = (source.byteCount, 1, 1)
      return
    }
    rows = source.shape.count >= 2 ? source.shape[0] : source.elementCount
    columns = rows == 0 ? 0 : source.elementCount / rows
    rowBytes = columns * source.elementType.byteCount
  }

  /// Source rows (elements, for fewer than two extents) that one unit holds.
  private var rowsPerUnit: Int {
    if case .grouped(let grouped) = scheme, grouped.layout == .tile16 { return TileShape.kernelTileRows }
    return 1
  }

  /// Whether the values must be looked at before they can be encoded; see ``scanned(_:)``.
  package var needsScan: Bool { scheme != .plain(source.elementType) }

  /// Whether the values can be looked at for their own sake: real numbers of no more than f32's range.
  package var canBeScanned: Bool { [.f32, .f16, .bf16].contains(source.elementType) }

  /// The greatest magnitude in some units.
  ///
  /// - Throws: 65 naming the tensor when a value is not a finite number and does not stay as it is.
  package func scan(_ range: Range<Int>) throws -> Float {
    let bytes = try sourceBytes(range)
    let greatest = greatestMagnitude(bytes, source.elementType)
    guard greatest.isFinite || !needsScan else {
      let values = floats(bytes, source.elementType)
      let position = values.firstIndex { !$0.isFinite } ?? 0
      let element = byteRange(range).lowerBound / source.elementType.byteCount + position
      throw GristError(
        .badData, "a value that is not a finite number can only be stored as it came", file: source.file,
        tensor: source.name,
        offset: source.offset.map { $0 + UInt64(element * source.elementType.byteCount) },
        found: "\(values[position]) at row \(element / max(columns, 1)), column \(element % max(columns, 1))",
        advice: "keep the tensor as it is with --set '\(source.name)=source'")
    }
    return greatest
  }

  /// The encoder to use once the greatest magnitude of the whole tensor is known: it brings the scales into f16's range
  /// where they would leave it.
  ///
  /// - Throws: 65 when values are too large for f16 or bf16.
  package func scanned(_ greatest: Float) throws -> TensorEncoder {
    switch scheme {
    case .plain(.f16) where greatest >= 65_520, .plain(.bf16) where greatest >= 0x1.ffp127:
      throw GristError(
        .badData, "a value is too large for \(scheme.name)", file: source.file, tensor: source.name,
        found: "\(greatest)", advice: "use \(scheme == .plain(.f16) ? "bf16 or " : "")f32")
    case .grouped(let grouped):
      // What is read back lies a little beside it, and would be infinite.
      guard greatest < 0x1p126 else {
        throw GristError(
          .badData, "a value is too large to be quantized", file: source.file, tensor: source.name,
          found: "\(greatest)",
          advice: "such values mostly were never initialised; keep the tensor with --set '\(source.name)=source'")
      }
      // A turn can bring a whole block's weights together into one.
      let gain: Float = grouped.coding.rotation == .none ? 1 : 8
      let scale = greatest / Float(grouped.coding.table == nil ? grouped.codes.greatestStep : 127)
      guard scale > 0, !(0x1p-10...0x1p14 / gain).contains(scale) else { return self }
      return try TensorEncoder(
        source,
        scheme: .grouped(
          // The greatest scale near f16's end leaves most room below it, for rows that are far smaller. A turn may make
          // it eight times as large; a table's greatest value is a quarter of 127.
          grouped.with(
            scaleExponent: min(
              max(Int(scale.exponent) - 13 + (gain > 1 ? 3 : 0) + (grouped.coding.table == nil ? 0 : 2), -120), 120))),
        feedback: feedback)
    default: return self
    }
  }

  /// Some units as they are encoded.
  package struct Encoded: Sendable {
    package let payload: Bytes
    /// The sums of what was lost.
    package let error: ErrorSums
    /// XXH3-64 of the source's bytes that it was made of.
    package let sourceChecksum: UInt64
  }

  /// - Throws: What reading the tensor throws.
  package func encode(_ range: Range<Int>) throws -> Encoded {
    let bytes = try sourceBytes(range)
    let sourceChecksum = checksum(bytes)
    let (payload, error) = try encode(bytes)
    return Encoded(payload: payload, error: error, sourceChecksum: sourceChecksum)
  }

  /// Adds the source's bytes of some units to a fingerprint; their XXH3-64.
  ///
  /// - Throws: What reading the tensor throws.
  package func identify(_ range: Range<Int>, _ fingerprint: inout StreamingFingerprint) throws -> UInt64 {
    let bytes = try sourceBytes(range)
    fingerprint.update(bytes)
    return checksum(bytes)
  }

  private func encode(_ bytes: Bytes) throws -> (payload: Bytes, error: ErrorSums) {
    switch scheme {
    case .plain(source.elementType): return (bytes, ErrorSums())
    case .plain(let type):
      var converted = withFloats(bytes) { convertFloats($0, to: type) }
      if source.elementType == .f64, !Self.areFloats(bytes) { converted.error.isLossless = false }
      return converted
    case .grouped(let grouped):
      guard let shape = grouped.shape(rows: rows, columns: columns) else {
        throw GristError(.badData, "the scheme cannot hold the shape", file: source.file, tensor: source.name)
      }
      return quantizeTiles(
        bytes, source.elementType, shape: shape, coding: grouped.coding, feedback: feedback,
        prescale: 1 / grouped.multiplier)
    case .unknown(let unknown): throw unknown.error(file: source.file, tensor: source.name)
    }
  }

  /// Whether f64 values are f32 values too.
  private static func areFloats(_ bytes: Bytes) -> Bool {
    bytes.withUnsafeBytes { raw in
      stride(from: 0, to: raw.count - 7, by: 8).allSatisfy {
        let value = raw.loadUnaligned(fromByteOffset: $0, as: Double.self)
        return Double(Float(value)) == value
      }
    }
  }

  /// Gives the source's memory for some units back.
  package func release(_ range: Range<Int>) { source.release(byteRange(range)) }

  private func byteRange(_ units: Range<Int>) -> Range<Int> {
    let first = min(units.lowerBound * rowsPerUnit, rows)
    let end = min(units.upperBound * rowsPerUnit, rows)
    return first * rowBytes..<end * rowBytes
  }

  private func sourceBytes(_ units: Range<Int>) throws -> Bytes { try source.bytes(byteRange(units)) }

  private func withFloats<Result>(_ bytes: Bytes, _ body: (UnsafeBufferPointer<Float>) -> Result) -> Result {
    let count = bytes.count / source.elementType.byteCount
    return withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { buffer in
      expandElements(bytes, source.elementType, into: buffer)
      return body(UnsafeBufferPointer(buffer))
    }
  }
}
