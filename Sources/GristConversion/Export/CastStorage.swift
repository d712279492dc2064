import GristCore
import GristKernels
import GristSources

extension SourceTensor {
  /// The same values in another type; rounded to nearest even where it is narrower.
  ///
  /// - Returns: nil where `type` is not f64, f32, f16 or bf16, or the values are no real numbers.
  func cast(to type: ElementType) -> SourceTensor? {
    if type == elementType { return self }
    guard CastStorage.types.contains(type), elementType.isFloatingPoint else { return nil }
    return SourceTensor(
      name: name, elementType: type, shape: shape, file: file, offset: nil,
      storage: CastStorage(source: self, type: type))
  }
}

/// Another tensor's values in another type, converted as they are asked for.
private struct CastStorage: TensorStorage {
  static let types: Set<ElementType> = [.f64, .f32, .f16, .bf16]

  let source: SourceTensor
  let type: ElementType
  var holdsWholeTensor: Bool { source.storage.holdsWholeTensor }

  /// The range of the source's bytes that a range of these is made of.
  private func sourceRange(_ range: Range<Int>) -> Range<Int> {
    let (from, to) = (source.elementType.byteCount, type.byteCount)
    return range.lowerBound / to * from..<(range.upperBound + to - 1) / to * from
  }

  func bytes(_ range: Range<Int>) throws -> Bytes {
    if range.isEmpty { return Bytes() }
    let values = floats(try source.bytes(sourceRange(range)), source.elementType)
    let converted =
      type == .f64 ? Self.doubles(values) : values.withUnsafeBufferPointer { convertFloats($0, to: type).payload }
    if type == .f16, let place = values.indices.first(where: { values[$0].isFinite && abs(values[$0]) >= 65_520 }) {
      throw GristError(
        .badData, "a value is too large for f16", file: source.file, tensor: source.name, found: "\(values[place])",
        advice: "export as bf16 or f32")
    }
    guard let slice = converted.slice(range.lowerBound % type.byteCount, range.count) else {
      throw GristError(.badData, "the values end too soon", file: source.file, tensor: source.name)
    }
    return slice
  }

  private static func doubles(_ values: [Float]) -> Bytes {
    let buffer = AlignedBuffer(byteCount: values.count * 8)
    buffer.withUnsafeMutableBytes { target in
      for (index, value) in values.enumerated() {
        target.storeBytes(of: Double(value).bitPattern.littleEndian, toByteOffset: index * 8, as: UInt64.self)
      }
    }
    return buffer.bytes
  }

  func release(_ range: Range<Int>) { source.release(sourceRange(range)) }
}
