import GristCore
import GristKernels
import GristSources

/// How a tensor is stored in GGUF.
enum GGUFChoice: Sendable, Equatable {
  /// A matrix in the type that it has here, f32 where that is none of GGUF's; 8 bits in blocks of 32 where it is
  /// quantized. All else in f32.
  case asStored
  case type(GGUFFile.TensorType)
}

extension GGUFFile.Tensor {
  /// - Parameters:
  ///   - name: what llama.cpp calls it.
  ///   - tensor: real numbers; those that are quantized in a file as f32.
  ///   - isQuantized: whether they are.
  ///   - choice: what is asked for. Vectors are f32 whatever it is, as llama.cpp wants them.
  ///
  /// - Throws: 65 when the values are no real numbers.
  init(_ name: String, _ tensor: SourceTensor, isQuantized: Bool, _ choice: GGUFChoice) throws {
    let wanted: GGUFFile.TensorType
    if tensor.shape.count < 2 {
      wanted = .f32
    } else {
      switch choice {
      case .type(let type): wanted = type
      case .asStored:
        wanted = isQuantized ? .q8 : tensor.elementType == .bf16 ? .bf16 : tensor.elementType == .f16 ? .f16 : .f32
      }
    }
    // Blocks of 32 lie within a row.
    let type = wanted == .q8 && (tensor.shape.last ?? 0) % 32 != 0 ? .f16 : wanted
    let element: ElementType =
      switch type {
      case .f32, .q8: .f32
      case .f16: .f16
      case .bf16: .bf16
      }
    guard let typed = tensor.cast(to: element) else {
      throw GristError(
        .badData, "a tensor of the model that is no real numbers", file: tensor.file, tensor: tensor.name,
        found: tensor.elementType.rawValue)
    }
    guard type == .q8 else {
      self.init(
        name: name, type: type, shape: tensor.shape, byteCount: typed.byteCount, bytes: { try typed.bytes($0) },
        release: { typed.release($0) })
      return
    }
    let blocks = typed.elementCount / Q8Blocks.width
    self.init(
      name: name, type: .q8, shape: tensor.shape, byteCount: blocks * Q8Blocks.byteCount,
      bytes: { try Q8Blocks.bytes($0, of: typed) }, release: { typed.release(Q8Blocks.sourceRange($0)) })
  }
}

/// ggml's Q8_0: 32 values a block, an f16 scale and 32 codes.
enum Q8Blocks {
  static let width = 32
  static let byteCount = 34

  /// The bytes of f32 values that a range of blocks' bytes is made of.
  static func sourceRange(_ range: Range<Int>) -> Range<Int> {
    range.lowerBound / byteCount * width * 4..<(range.upperBound + byteCount - 1) / byteCount * width * 4
  }

  /// - Throws: What reading the values throws.
  static func bytes(_ range: Range<Int>, of tensor: SourceTensor) throws -> Bytes {
    let values = floats(try tensor.bytes(sourceRange(range)), .f32)
    let blocks = values.count / width
    let buffer = AlignedBuffer(byteCount: blocks * byteCount)
    buffer.withUnsafeMutableBytes { target in
      for block in 0..<blocks {
        let values = values[block * width..<(block + 1) * width]
        let scale = values.reduce(Float(0)) { max($0, abs($1)) } / 127
        let inverse = scale == 0 ? 0 : 1 / scale
        let start = block * byteCount
        target.storeBytes(of: halfBits(scale).littleEndian, toByteOffset: start, as: UInt16.self)
        for (place, value) in values.enumerated() {
          let code = (value * inverse).rounded(.toNearestOrAwayFromZero)
          target.storeBytes(
            of: Int8(clamping: Int(code.isFinite ? code : 0)), toByteOffset: start + 2 + place, as: Int8.self)
        }
      }
    }
    guard let slice = buffer.bytes.slice(range.lowerBound % byteCount, range.count) else {
      throw GristError(.badData, "the values end too soon", file: tensor.file, tensor: tensor.name)
    }
    return slice
  }

  private static func halfBits(_ value: Float) -> UInt16 {
    let converted = withUnsafePointer(to: value) { pointer in
      convertFloats(UnsafeBufferPointer(start: pointer, count: 1), to: .f16).payload
    }
    return converted.integer(at: 0, as: UInt16.self) ?? 0
  }
}

extension SourceTensor {
  /// The rows of a query or key matrix in the order in which llama.cpp turns them: of each head, what transformers turns
  /// together (row i and row i + half) side by side.
  ///
  /// - Returns: nil when the rows are no whole heads.
  func withRowsInterleaved(headDimension: Int) -> SourceTensor? {
    guard shape.count == 2, headDimension > 0, headDimension % 2 == 0, shape[0] % headDimension == 0 else { return nil }
    return with(shape: shape, storage: InterleavedRows(source: self, headDimension: headDimension))
  }
}

/// Which of transformers' rows is one of llama.cpp's.
func interleavedRow(_ row: Int, headDimension: Int) -> Int {
  let (head, place) = (row / headDimension, row % headDimension)
  return head * headDimension + place % 2 * (headDimension / 2) + place / 2
}

private struct InterleavedRows: TensorStorage {
  let source: SourceTensor
  let headDimension: Int
  private var rowBytes: Int { source.byteCount / max(source.shape[0], 1) }

  /// The heads' bytes that hold a range.
  private func heads(_ range: Range<Int>) -> Range<Int> {
    let head = headDimension * rowBytes
    return range.lowerBound / head * head..<(range.upperBound + head - 1) / head * head
  }

  func bytes(_ range: Range<Int>) throws -> Bytes {
    if range.isEmpty { return Bytes() }
    let (rowBytes, wanted) = (rowBytes, heads(range))
    let bytes = try source.bytes(wanted)
    let buffer = AlignedBuffer(byteCount: wanted.count)
    buffer.withUnsafeMutableBytes { target in
      bytes.withUnsafeBytes { values in
        for row in 0..<wanted.count / rowBytes {
          let from = interleavedRow(row, headDimension: headDimension)
          target[(row * rowBytes)...].copyBytes(from: values[from * rowBytes..<(from + 1) * rowBytes])
        }
      }
    }
    guard let slice = buffer.bytes.slice(range.lowerBound - wanted.lowerBound, range.count) else {
      throw GristError(.badData, "the rows end too soon", file: source.file, tensor: source.name)
    }
    return slice
  }

  func release(_ range: Range<Int>) { source.release(heads(range)) }
}
