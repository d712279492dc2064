/// A kind of file that is written, known by how such a file begins: one of another kind is not replaced unasked.
public struct OutputKind: Sendable {
  /// For people: "a .grist file".
  public let name: String
  /// Whether a file that begins with these bytes, up to ``prefixLength`` of them, is of the kind.
  let matches: @Sendable (Bytes) -> Bool

  static let prefixLength = 4096

  public init(name: String, matches: @escaping @Sendable (_ beginning: Bytes) -> Bool) {
    self.name = name
    self.matches = matches
  }

  /// Files that have some text near their beginning.
  public init(name: String, containing text: String) {
    let wanted = Array(text.utf8)
    self.init(name: name) { beginning in
      let bytes = beginning.array
      guard bytes.count >= wanted.count else { return false }
      return (0...bytes.count - wanted.count).contains { bytes[$0...].starts(with: wanted) }
    }
  }
}
