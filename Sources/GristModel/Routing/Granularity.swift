/// How many visual tokens each tile of a picture becomes.
public enum Granularity: Sendable, Equatable {
  /// The same for every tile.
  case uniform(Int)
  /// One number a tile, the whole picture's first.
  case perTile([Int])

  /// What tile `index` becomes; nil where there is no such tile.
  public func tokens(ofTile index: Int) -> Int? {
    switch self {
    case .uniform(let tokens): tokens
    case .perTile(let tokens): tokens.indices.contains(index) ? tokens[index] : nil
    }
  }

  /// The most that a tile becomes; 0 without tiles.
  public var finest: Int { values.max() ?? 0 }

  /// The different numbers that occur.
  var values: Set<Int> {
    switch self {
    case .uniform(let tokens): [tokens]
    case .perTile(let tokens): Set(tokens)
    }
  }
}

extension Granularity: CustomStringConvertible {
  /// `72`, or for tiles that differ `64, 256, 64`.
  public var description: String {
    switch self {
    case .uniform(let tokens): "\(tokens)"
    case .perTile(let tokens): tokens.map(String.init).joined(separator: ", ")
    }
  }
}
