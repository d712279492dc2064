/// How a row's columns are turned before they become codes. The inputs of the matrix are turned alike, so that products
/// stay what they were; a turn spreads the outliers of a few columns over all of their block.
public enum Rotation: String, Sendable, CaseIterable {
  case none
  /// Each block of 64 columns by the normalised Hadamard matrix of that size (Sylvester's, which is its own inverse).
  case hadamard64

  public static let block = 64

  /// Whether rows of this many columns can be turned.
  public func fits(columns: Int) -> Bool { self == .none || columns % Self.block == 0 }
}

/// What a quantized matrix's codes stand for, beyond its shape: their table, and how its columns were turned.
public struct GroupCoding: Sendable, Hashable {
  /// Nil where a code is its own value.
  public let table: CodeTable?
  public let rotation: Rotation

  public init(table: CodeTable? = nil, rotation: Rotation = .none) {
    self.table = table
    self.rotation = rotation
  }
}
