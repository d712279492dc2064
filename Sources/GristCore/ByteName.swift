/// A name as a checkpoint gives it: two names are the same when their UTF-8 bytes are.
///
/// A `String` compares by canonical equivalence, which makes one of "é" and "e" with a combining accent; a file that
/// holds both holds two tensors. Keys and comparisons of names that come from files go through this.
package struct ByteName: Hashable, Comparable, Sendable {
  package let text: String

  package init(_ text: String) { self.text = text }

  package static func == (a: ByteName, b: ByteName) -> Bool {
    let (a, b) = (a.text.utf8, b.text.utf8)
    return b.withContiguousStorageIfAvailable { a.equals(UnsafeRawBufferPointer($0)) } ?? a.elementsEqual(b)
  }

  /// In the order of the bytes.
  package static func < (a: ByteName, b: ByteName) -> Bool { a.text.utf8.lexicographicallyPrecedes(b.text.utf8) }

  package func hash(into hasher: inout Hasher) {
    var text = text
    text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    // A terminator, so that neighbouring names of a compound key cannot trade bytes.
    hasher.combine(UInt8(0xff))
  }
}

extension String.UTF8View {
  /// Whether they are these bytes. `elementsEqual` alone goes through the view's indices, one after the other.
  func equals(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard count == bytes.count else { return false }
    return withContiguousStorageIfAvailable { $0.elementsEqual(bytes) } ?? elementsEqual(bytes)
  }
}
