/// A read-only run of bytes that keeps whatever owns them alive: a mapping, a buffer, a Swift array.
///
/// This is the one place where a raw pointer and its length are held together; every access checks the length
/// once and fails softly, because offsets usually come from files.
public struct Bytes: @unchecked Sendable {
  // Unchecked: the memory is never written while a `Bytes` of it exists, and the owner is retained.
  private let owner: AnyObject?
  @usableFromInline let base: UnsafeRawPointer?
  public let count: Int

  /// Wraps memory that stays valid and unchanged as long as `owner` lives.
  public init(base: UnsafeRawPointer?, count: Int, owner: AnyObject?) {
    self.owner = owner
    self.base = base
    self.count = base == nil ? 0 : count
  }

  public init(_ array: [UInt8]) {
    let buffer = AlignedBuffer(byteCount: array.count)
    buffer.withUnsafeMutableBytes { $0.copyBytes(from: array) }
    self = buffer.bytes
  }

  public init() { self.init(base: nil, count: 0, owner: nil) }

  /// The bytes `offset ..< offset + count`, or nil when they are not all inside.
  public func slice(_ offset: Int, _ count: Int) -> Bytes? {
    guard offset >= 0, count >= 0, offset <= self.count, count <= self.count - offset else { return nil }
    return Bytes(base: base.map { $0 + offset }, count: count, owner: owner)
  }

  /// The little-endian integer at `offset`, or nil when it is not all inside. Needs no alignment.
  @inlinable
  public func integer<Integer: FixedWidthInteger>(at offset: Int, as type: Integer.Type) -> Integer? {
    // Inlinable, as a table of thousands of entries is read by it when a file is opened.
    guard let base, offset >= 0, offset <= count, MemoryLayout<Integer>.size <= count - offset else { return nil }
    return Integer(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: type))
  }

  /// Calls `body` with the bytes; the pointer must not be kept beyond the call unless this value is kept too.
  ///
  /// - Throws: What `body` throws.
  public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    try withExtendedLifetime(owner) {
      try body(UnsafeRawBufferPointer(start: base, count: count))
    }
  }

  public var array: [UInt8] { withUnsafeBytes { [UInt8]($0) } }

  /// The bytes as text, or nil when they are not valid UTF-8.
  public var utf8: String? { withUnsafeBytes { String(validating: $0, as: UTF8.self) } }

  public func elementsEqual(_ other: Bytes) -> Bool {
    guard count == other.count else { return false }
    return withUnsafeBytes { a in other.withUnsafeBytes { b in a.elementsEqual(b) } }
  }

  public var isAllZero: Bool { withUnsafeBytes { $0.allSatisfy { $0 == 0 } } }
}

/// Memory of its own, aligned to 64 bytes (a cache line and a 512-bit register) and zeroed.
public final class AlignedBuffer: @unchecked Sendable {
  // Unchecked: whoever fills the buffer is its only holder until `bytes` is handed out; see `bytes`.
  public let byteCount: Int
  private let base: UnsafeMutableRawPointer

  public static let alignment = 64

  /// - Precondition: `byteCount` is 0 or more.
  public init(byteCount: Int) {
    precondition(byteCount >= 0)
    self.byteCount = byteCount
    base = .allocate(byteCount: max(byteCount, 1), alignment: Self.alignment)
    base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
  }

  deinit { base.deallocate() }

  /// - Throws: What `body` throws.
  public func withUnsafeMutableBytes<Result>(
    _ body: (UnsafeMutableRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    try body(UnsafeMutableRawBufferPointer(start: base, count: byteCount))
  }

  /// The contents, shared without a copy. Nothing may be written to the buffer after this is handed out.
  public var bytes: Bytes { Bytes(base: UnsafeRawPointer(base), count: byteCount, owner: self) }
}
