import GristCore

/// The numbers of the byte layout; `Formats/grist-v1.md` is their description.
package enum GristLayout {
  /// "GRIST", then bytes that a text-mode transfer would change.
  static let magic: [UInt8] = [0x47, 0x52, 0x49, 0x53, 0x54, 0x0d, 0x0a, 0x1a]
  package static let version: UInt32 = 1
  /// What a manifest of this version adds to those of 1.0, for people.
  static let minorVersion = 0
  /// Members of `requires` that this version knows.
  static let features: Set<String> = [correctedUnpadding]
  /// That the model is computed with grids cropped by their cells' own shape.
  static let correctedUnpadding = "corrected-unpadding"

  /// The superblock and each of the two slots: so many bytes at the beginning of a page of their own, so that a write
  /// that fails hurts one of them alone. The rest of the pages is zero.
  static let headerFields = 64
  static let slotOffsets = [4096, 8192]
  /// Where chunks or, in a file without any, the index may begin.
  static let headerBytes = 12_288

  /// Segments start on multiples of this.
  package static let segmentAlignment = 65_536
  /// Chunks, and the two parts of the index, start on multiples of this.
  package static let chunkAlignment = 64
  /// Payload bytes a chunk aims for; it always holds at least one unit (a tile, a row, an element).
  package static let chunkTarget = 1 << 20
  /// The same for tables that are looked up by row.
  package static let tableChunkTarget = 64 << 10
  /// A chunk whose payload is larger than this unpacks to no more than ``greatestRatio`` times what is stored, so that
  /// a small file cannot fill the memory.
  static let boundlessPayload = 16 << 20
  static let greatestRatio = 8
  static let chunkEntryBytes = 32
  /// A manifest longer than this is refused before it is read.
  static let manifestLimit = 256 << 20
}

extension OutputKind {
  /// A `.grist` file of whatever version.
  public static let grist = OutputKind(name: "a .grist file") {
    $0.slice(0, 5)?.array == Array(GristLayout.magic[..<5])
  }
}
