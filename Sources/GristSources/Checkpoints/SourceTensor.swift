import GristCore

/// Where a tensor's bytes come from: a mapping, or a reader that fetches a range.
public protocol TensorStorage: Sendable {
  /// The bytes `range` of the tensor, little-endian, row-major.
  ///
  /// - Throws: 74 or 65 when they cannot be had.
  func bytes(_ range: Range<Int>) throws -> Bytes
  /// Says that the range will not be used again soon, so that its memory can be given back.
  func release(_ range: Range<Int>)
  /// Whether a byte of the tensor cannot be had without holding all of it, until its end is released.
  var holdsWholeTensor: Bool { get }
  /// Whether the bytes lie in the tensor's file, at its offset, just as they are given.
  var isVerbatim: Bool { get }
}

extension TensorStorage {
  public var isVerbatim: Bool { false }
  public var holdsWholeTensor: Bool { false }
}

/// One tensor of an upstream checkpoint. Reading it is left to whoever needs it: a catalogue of these costs little
/// memory, and copies none.
public struct SourceTensor: Sendable {
  /// What copies share.
  private final class Contents: Sendable {
    let name: String
    let sourceName: String
    let elementType: ElementType
    let shape: [Int]
    let file: String
    let offset: UInt64?
    let elementCount: Int
    let byteCount: Int
    let storage: any TensorStorage

    init(
      name: String, sourceName: String, elementType: ElementType, shape: [Int], file: String, offset: UInt64?,
      elementCount: Int, byteCount: Int, storage: any TensorStorage
    ) {
      self.name = name
      self.sourceName = sourceName
      self.elementType = elementType
      self.shape = shape
      self.file = file
      self.offset = offset
      self.elementCount = elementCount
      self.byteCount = byteCount
      self.storage = storage
    }
  }

  private let contents: Contents

  public var name: String { contents.name }
  /// Its name in `file`; other than `name` where a map renamed it.
  public var sourceName: String { contents.sourceName }
  public var elementType: ElementType { contents.elementType }
  /// Outermost extent first; empty for a scalar.
  public var shape: [Int] { contents.shape }
  /// The file it lies in, for messages.
  public var file: String { contents.file }
  /// Byte offset of its data in `file`, for messages; nil where they are not in one place.
  public var offset: UInt64? { contents.offset }
  public var elementCount: Int { contents.elementCount }
  public var byteCount: Int { contents.byteCount }
  public var storage: any TensorStorage { contents.storage }

  /// Nil when the shape's byte count does not fit `Int`, or elements of less than a byte do not end with one.
  public init?(
    name: String, elementType: ElementType, shape: [Int], file: String, offset: UInt64?, storage: any TensorStorage
  ) {
    self.init(
      name: name, sourceName: name, elementType: elementType, shape: shape, file: file, offset: offset, storage: storage
    )
  }

  private init?(
    name: String, sourceName: String, elementType: ElementType, shape: [Int], file: String, offset: UInt64?,
    storage: any TensorStorage
  ) {
    guard let count = GristCore.elementCount(of: shape), let bytes = elementType.byteCount(ofElements: count) else {
      return nil
    }
    contents = Contents(
      name: name, sourceName: sourceName, elementType: elementType, shape: shape, file: file, offset: offset,
      elementCount: count, byteCount: bytes, storage: storage)
  }

  private init(_ contents: Contents) { self.contents = contents }

  /// The error for bytes that were others when they were read before.
  public func changed() -> GristError { .changed(file: file, tensor: name) }

  /// All bytes of the tensor.
  ///
  /// - Throws: What the source's reader throws: 65 for damage that shows only now, 74 when reading fails.
  public func bytes() throws -> Bytes { try bytes(0..<byteCount) }

  /// Some bytes of the tensor; `range` must lie within `0 ..< byteCount`.
  ///
  /// - Precondition: `range` lies in `0 ..< byteCount`.
  /// - Throws: What the source's reader throws: 65 for damage that shows only now, 74 when reading fails.
  public func bytes(_ range: Range<Int>) throws -> Bytes {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount)
    return try locating(file: file, tensor: name) { try storage.bytes(range) }
  }

  public func release(_ range: Range<Int>? = nil) { storage.release(range ?? 0..<byteCount) }

  /// The same tensor with another shape and other bytes; nil where
  /// ``init(name:elementType:shape:file:offset:storage:)`` gives nil.
  public func with(shape: [Int], storage: any TensorStorage) -> SourceTensor? {
    SourceTensor(
      name: name, sourceName: sourceName, elementType: elementType, shape: shape, file: file, offset: nil,
      storage: storage)
  }

  /// The same tensor under another name.
  public func renamed(_ name: String) -> SourceTensor {
    SourceTensor(
      Contents(
        name: name, sourceName: sourceName, elementType: elementType, shape: shape, file: file, offset: offset,
        elementCount: elementCount, byteCount: byteCount, storage: storage))
  }
}
