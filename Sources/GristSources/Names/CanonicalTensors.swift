import GristCore
internal import Synchronization

/// A checkpoint's tensors under canonical names and in canonical layouts, and what was left out on the way.
struct CanonicalTensors {
  let tensors: [SourceTensor]
  /// For people: what the map left out, and why, a reason a line.
  let notes: [String]

  /// - Throws: 65 when two tensors become one, parts are missing, or a step does not fit its tensor.
  init(_ source: [SourceTensor], map: NameMap) throws {
    var tensors: [SourceTensor] = []
    var partsByName: [ByteName: [(part: NameMap.Part, tensor: SourceTensor)]] = [:]
    var leftOut: [String: Int] = [:]
    var unused: [String: Int] = [:]
    var origins: [ByteName: String] = [:]
    for tensor in source {
      switch map.decide(tensor.name) {
      case .unknown: try add(tensor)
      case .leftOut(let omission):
        if omission.mustCount { try Self.requireCounting(tensor) }
        leftOut[omission.reason, default: 0] += 1
      case .unused(let reason):
        unused[reason, default: 0] += 1
        try add(tensor.unused(because: reason))
      case .becomes(let outcomes):
        for outcome in outcomes {
          let canonical = try locating(file: tensor.file, tensor: tensor.name) {
            try tensor.rearranged(outcome.steps).renamed(outcome.name)
          }
          if let part = outcome.part {
            partsByName[ByteName(outcome.name), default: []].append((part, canonical))
          } else {
            try add(canonical)
          }
        }
      }
    }
    for (name, parts) in partsByName.sorted(by: { $0.key < $1.key }) { try add(Self.joined(parts, name: name.text)) }
    self.tensors = tensors.sorted { ByteName($0.name) < ByteName($1.name) }
    let remarks = [(leftOut, "left out"), (unused, "kept, and used for nothing")]
    notes = remarks.flatMap { counts, what in
      counts.sorted { $0.key < $1.key }.map { reason, count in
        "\(count) \(count == 1 ? "tensor is" : "tensors are") \(what): \(reason)"
      }
    }

    func add(_ tensor: SourceTensor) throws {
      if let other = origins.updateValue(tensor.sourceName, forKey: ByteName(tensor.name)) {
        throw GristError(
          .badData, "two tensors become one under the name map \(map.name)", file: tensor.file, tensor: tensor.name,
          found: "\(other) and \(tensor.sourceName)")
      }
      tensors.append(tensor)
    }
  }

  /// - Throws: 65 unless a tensor's values are 0, 1, 2 and so on.
  private static func requireCounting(_ tensor: SourceTensor) throws {
    let bytes = try tensor.bytes()
    tensor.release()
    let counts = (0..<tensor.byteCount / max(1, tensor.elementType.byteCount)).allSatisfy { index in
      switch tensor.elementType {
      case .i32: bytes.integer(at: 4 * index, as: Int32.self).map(Int.init) == index
      case .i64: bytes.integer(at: 8 * index, as: Int64.self).map(Int.init) == index
      default: false
      }
    }
    guard counts else {
      throw GristError(
        .badData, "positions that do not count from 0, as this version takes them to", file: tensor.file,
        tensor: tensor.name)
    }
  }

  private static func joined(
    _ parts: [(part: NameMap.Part, tensor: SourceTensor)], name: String
  ) throws -> SourceTensor {
    let sorted = parts.sorted { $0.part.index < $1.part.index }
    let tensors = sorted.map(\.tensor)
    guard let first = sorted.first, sorted.map(\.part.index) == Array(0..<first.part.count),
      sorted.allSatisfy({ $0.part.count == first.part.count })
    else {
      throw GristError(
        .badData, "not all parts of a tensor are there", file: tensors.first?.file, tensor: name,
        found: tensors.map(\.sourceName).joined(separator: ", "))
    }
    guard let joined = SourceTensor.joined(tensors, name: name) else {
      throw GristError(
        .badData, "the parts of a tensor do not fit behind each other", file: tensors[0].file, tensor: name,
        found: tensors.map { "\($0.elementType.rawValue) \($0.shape)" }.joined(separator: ", "))
    }
    return joined
  }
}

extension SourceTensor {
  /// The tensor after some steps. Only a transpose moves bytes; it is done when they are first asked for, and forgotten
  /// when the tensor's end is released.
  ///
  /// - Throws: 65 for a step that does not fit.
  func rearranged(_ steps: [LayoutStep]) throws -> SourceTensor {
    let result = try steps.reduce(self) { tensor, step in
      let shape = try step.shape(of: tensor.shape)
      switch step {
      case .reshape: return try tensor.rearranged(shape: shape, storage: tensor.storage)
      case .split(let index, let count):
        let bytes = tensor.byteCount / count
        return try tensor.rearranged(shape: shape, storage: PartStorage(whole: tensor, start: index * bytes))
      case .transpose(let order):
        guard tensor.elementType.isWholeBytes else {
          throw GristError(
            .badData, "elements of less than a byte cannot be transposed", found: tensor.elementType.rawValue)
        }
        let order = order ?? Array(tensor.shape.indices.reversed())
        return try tensor.rearranged(shape: shape, storage: TransposedStorage(source: tensor, order: order))
      }
    }
    return result.arranged(by: steps, from: shape)
  }

  private func rearranged(shape: [Int], storage: any TensorStorage) throws -> SourceTensor {
    guard let tensor = with(shape: shape, storage: storage) else {
      throw GristError(.badData, "the shape is too large", found: "\(shape)")
    }
    return tensor
  }

  /// Tensors behind each other along axis 0; nil when their types or other extents differ.
  static func joined(_ parts: [SourceTensor], name: String) -> SourceTensor? {
    guard let first = parts.first,
      parts.allSatisfy({
        $0.elementType == first.elementType && !$0.shape.isEmpty && $0.shape.dropFirst() == first.shape.dropFirst()
      })
    else { return nil }
    let rows = parts.reduce(0) { $0 + $1.shape[0] }
    return first.with(shape: [rows] + first.shape.dropFirst(), storage: JoinedStorage(parts: parts))?.renamed(name)
      .joined()
  }
}

/// A range of another tensor's bytes.
private struct PartStorage: TensorStorage {
  let whole: SourceTensor
  let start: Int
  var holdsWholeTensor: Bool { whole.storage.holdsWholeTensor }

  func bytes(_ range: Range<Int>) throws -> Bytes {
    try whole.bytes(start + range.lowerBound..<start + range.upperBound)
  }

  func release(_ range: Range<Int>) { whole.release(start + range.lowerBound..<start + range.upperBound) }
}

/// Tensors' bytes behind each other.
private struct JoinedStorage: TensorStorage {
  let parts: [SourceTensor]
  var holdsWholeTensor: Bool { parts.contains { $0.storage.holdsWholeTensor } }

  /// The ranges of the parts that make up a range of the whole.
  private func pieces(_ range: Range<Int>) -> [(part: SourceTensor, range: Range<Int>)] {
    var start = 0
    return parts.compactMap { part in
      defer { start += part.byteCount }
      let wanted = range.clamped(to: start..<start + part.byteCount)
      return wanted.isEmpty ? nil : (part, wanted.lowerBound - start..<wanted.upperBound - start)
    }
  }

  func bytes(_ range: Range<Int>) throws -> Bytes {
    let pieces = pieces(range)
    if pieces.count == 1 { return try pieces[0].part.bytes(pieces[0].range) }
    let buffer = AlignedBuffer(byteCount: range.count)
    var offset = 0
    for (part, range) in pieces {
      let bytes = try part.bytes(range)
      buffer.withUnsafeMutableBytes { target in
        bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: target[offset...]).copyMemory(from: $0) }
      }
      offset += bytes.count
    }
    return buffer.bytes
  }

  func release(_ range: Range<Int>) { for (part, range) in pieces(range) { part.release(range) } }
}

/// A tensor with its axes in another order, made whole when a byte of it is asked for.
private final class TransposedStorage: TensorStorage {
  private let source: SourceTensor
  private let order: [Int]
  private let whole = Mutex<Bytes?>(nil)
  let holdsWholeTensor = true

  init(source: SourceTensor, order: [Int]) {
    self.source = source
    self.order = order
  }

  func bytes(_ range: Range<Int>) throws -> Bytes {
    let bytes = try whole.withLock { whole in
      if let made = whole { return made }
      let made = permuted(
        try source.bytes(), shape: source.shape, order: order, width: source.elementType.byteCount)
      source.release()
      whole = made
      return made
    }
    guard let slice = bytes.slice(range.lowerBound, range.count) else {
      throw GristError(.badData, "the data have another length than they should")
    }
    return slice
  }

  func release(_ range: Range<Int>) {
    if range.upperBound == source.byteCount { whole.withLock { $0 = nil } }
  }
}
