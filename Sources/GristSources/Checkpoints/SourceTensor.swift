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
    let origin: Origin
    let elementType: ElementType
    let shape: [Int]
    let file: String
    let offset: UInt64?
    let elementCount: Int
    let byteCount: Int
    let storage: any TensorStorage

    init(
      name: String, origin: Origin, elementType: ElementType, shape: [Int], file: String, offset: UInt64?,
      elementCount: Int, byteCount: Int, storage: any TensorStorage
    ) {
      self.name = name
      self.origin = origin
      self.elementType = elementType
      self.shape = shape
      self.file = file
      self.offset = offset
      self.elementCount = elementCount
      self.byteCount = byteCount
      self.storage = storage
    }
  }

  /// What a tensor was upstream, and how it became what it is.
  package struct Origin: Sendable {
    package let name: String
    /// The shape there, where steps changed the layout.
    package fileprivate(set) var shape: [Int]?
    package fileprivate(set) var layout: [LayoutStep] = []
    /// Whether it was put together of several.
    package fileprivate(set) var isJoined = false
    /// Other names there for the same values.
    package fileprivate(set) var aliases: [String] = []
    /// Why the model does not compute with it, where it is only kept to be given back.
    package fileprivate(set) var unused: String?
  }

  private let contents: Contents

  public var name: String { contents.name }
  /// Its name in `file`; other than `name` where a map renamed it.
  public var sourceName: String { contents.origin.name }
  package var origin: Origin { contents.origin }
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
      name: name, origin: Origin(name: name), elementType: elementType, shape: shape, file: file, offset: offset,
      storage: storage)
  }

  private init?(
    name: String, origin: Origin, elementType: ElementType, shape: [Int], file: String, offset: UInt64?,
    storage: any TensorStorage
  ) {
    guard let count = GristCore.elementCount(of: shape), let bytes = elementType.byteCount(ofElements: count) else {
      return nil
    }
    contents = Contents(
      name: name, origin: origin, elementType: elementType, shape: shape, file: file, offset: offset,
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
      name: name, origin: origin, elementType: elementType, shape: shape, file: file, offset: nil, storage: storage)
  }

  /// The same tensor under another name.
  public func renamed(_ name: String) -> SourceTensor { with(name: name, origin) }

  /// The same tensor, which has another name upstream, too.
  package func known(as alias: String) -> SourceTensor {
    var origin = origin
    origin.aliases.append(alias)
    return with(name: name, origin)
  }

  /// The same tensor, which the model does not compute with.
  package func unused(because reason: String) -> SourceTensor {
    var origin = origin
    origin.unused = reason
    return with(name: name, origin)
  }

  /// The same tensor, said to have become what it is by these steps.
  func arranged(by steps: [LayoutStep], from shape: [Int]) -> SourceTensor {
    guard !steps.isEmpty else { return self }
    var origin = origin
    origin.shape = origin.shape ?? shape
    origin.layout += steps
    return with(name: name, origin)
  }

  /// The same tensor, said to have been put together of several.
  func joined() -> SourceTensor {
    var origin = origin
    origin.isJoined = true
    return with(name: name, origin)
  }

  private func with(name: String, _ origin: Origin) -> SourceTensor {
    SourceTensor(
      Contents(
        name: name, origin: origin, elementType: elementType, shape: shape, file: file, offset: offset,
        elementCount: elementCount, byteCount: byteCount, storage: storage))
  }
}
