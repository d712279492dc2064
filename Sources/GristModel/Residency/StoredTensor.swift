import GristCore
import GristFormat
import GristSources

/// One tensor as it lies in a file: pieces that are read, checked and unpacked each by itself.
struct StoredTensor: Sendable {
  struct Piece: Sendable {
    /// In the file.
    let offset: Int
    let storedBytes: Int
    /// In the tensor's memory, beginning on a multiple of 64.
    let place: Range<Int>
  }

  let name: String
  let path: String
  /// Which file it must be; nil where that was not noted.
  let identity: FileIdentity?
  let pieces: [Piece]
  /// Whether every piece is a run of its own. What is not cut has one run, made of all pieces.
  private let isCut: Bool
  /// Makes a piece's bytes of what was read.
  let restore: @Sendable (_ piece: Int, _ stored: Bytes, _ target: UnsafeMutableRawBufferPointer) throws -> Void

  /// Memory that it takes.
  var byteCount: Int { pieces.last?.place.upperBound ?? 0 }
  var storedBytes: Int { pieces.reduce(0) { $0 + $1.storedBytes } }
  var longestPiece: Int { pieces.reduce(0) { max($0, $1.storedBytes) } }

  /// A tensor of a `.grist` file; a run is a chunk's payload.
  init(_ record: TensorRecord, in file: GristFile) {
    name = record.name
    path = file.path
    identity = file.identity
    isCut = true
    var end = 0
    pieces = record.chunks.range.map { chunk in
      let (stored, bytes) = file.place(ofChunk: chunk)
      let start = Self.aligned(end)
      end = start + bytes
      return Piece(offset: stored.lowerBound, storedBytes: stored.count, place: start..<end)
    }
    let first = record.chunks.first
    restore = { piece, stored, target in try file.unpackChunk(first + piece, stored: stored, into: target) }
  }

  /// A tensor of a checkpoint, whose bytes lie in its file as they are; nil where they do not.
  ///
  /// - Parameter pieceBytes: bytes of a piece; the last one's are what remains.
  init?(_ tensor: SourceTensor, pieceBytes: Int = 1 << 20) {
    guard tensor.storage.isVerbatim, let offset = tensor.offset.flatMap({ Int(exactly: $0) }) else { return nil }
    name = tensor.name
    path = tensor.file
    identity = nil
    isCut = false
    pieces = stride(from: 0, to: tensor.byteCount, by: pieceBytes).map { start in
      let end = min(start + pieceBytes, tensor.byteCount)
      return Piece(offset: offset + start, storedBytes: end - start, place: start..<end)
    }
    restore = { _, stored, target in stored.withUnsafeBytes { target.copyMemory(from: $0) } }
  }

  private static func aligned(_ offset: Int) -> Int {
    (offset + AlignedBuffer.alignment - 1) / AlignedBuffer.alignment * AlignedBuffer.alignment
  }

  private init(
    name: String, path: String, identity: FileIdentity?, pieces: [Piece], isCut: Bool,
    restore: @escaping @Sendable (Int, Bytes, UnsafeMutableRawBufferPointer) throws -> Void
  ) {
    (self.name, self.path, self.identity) = (name, path, identity)
    (self.pieces, self.isCut, self.restore) = (pieces, isCut, restore)
  }

  /// One piece by itself.
  func piece(_ index: Int) -> StoredTensor {
    let piece = pieces[index]
    return StoredTensor(
      name: name, path: path, identity: identity,
      pieces: [Piece(offset: piece.offset, storedBytes: piece.storedBytes, place: 0..<piece.place.count)],
      isCut: isCut
    ) { [restore] _, stored, target in try restore(index, stored, target) }
  }

  /// The tensor's runs in memory that holds all of it.
  func runs(_ memory: (Range<Int>) -> Bytes) -> [Bytes] {
    isCut ? pieces.map { memory($0.place) } : [memory(0..<byteCount)]
  }

  /// Reads and restores one piece.
  ///
  /// - Parameters:
  ///   - index: the piece's.
  ///   - file: the tensor's, open.
  ///   - staging: as long as ``DirectFile/room(for:)`` says of the piece.
  ///   - base: where the tensor's memory begins.
  ///
  /// - Throws: 74 when the disk fails or the file was cut short, 65 when the piece is damaged, with the tensor's name.
  func read(
    piece index: Int, from file: DirectFile, staging: UnsafeMutableRawBufferPointer, to base: UnsafeMutableRawPointer
  ) throws {
    let piece = pieces[index]
    try locating(file: path, tensor: name, offset: UInt64(piece.offset)) {
      let skipped = try file.read(piece.offset, piece.storedBytes, into: staging)
      guard let staged = staging.baseAddress else { return }
      let stored = Bytes(base: UnsafeRawPointer(staged + skipped), count: piece.storedBytes, owner: nil)
      try restore(
        index, stored,
        UnsafeMutableRawBufferPointer(start: base + piece.place.lowerBound, count: piece.place.count))
    }
  }
}
