import GristCore

/// The datasets of an HDF5 file as tensors, each named by its path in the file.
///
/// libhdf5 runs in a process of its own, `gristmill-hdf5`. It refuses, before anything is read: soft, external and
/// user-defined links, external storage, virtual datasets, filters other than gzip, shuffle and fletcher32, types that
/// are not plain numbers, and sizes that the file cannot hold.
package struct HDF5File: Sendable {
  package let path: String
  package let byteCount: Int
  let identity: FileIdentity
  /// In the order in which the file lists them.
  package let tensors: [SourceTensor]
  /// How the reader is confined, for people.
  package let confinement: String

  /// The most that is fetched at a time, in bytes; whole elements of every type.
  static let pieceSize = 16 << 20

  /// - Parameters:
  ///   - path: the file.
  ///   - range: the bytes of the file that are HDF5, where it is an archive's member; nil for all.
  ///   - helper: the helper's executable; nil for the one beside the running program.
  ///
  /// - Throws: 66 when the file or the helper is not there, 65 with file and dataset for whatever is refused or
  ///   damaged.
  package init(path: String, range: Range<Int>? = nil, helper: String? = nil) throws {
    let helper = try HDF5Helper(file: path, range: range, helper: helper)
    self.path = path
    let file = try MappedFile(path: path)
    byteCount = file.count
    identity = file.identity
    confinement = try helper.confinement()
    tensors = try Self.tensors(
      helper, path: path, start: UInt64(range?.lowerBound ?? 0), fileLength: range?.count ?? file.count)
  }

  /// See `catalogue.h` of the helper for the layout.
  private static func tensors(_ helper: HDF5Helper, path: String, start: UInt64, fileLength: Int) throws
    -> [SourceTensor]
  {
    var reader = ByteReader(bytes: try helper.catalogue(), path: path)
    var tensors: [SourceTensor] = []
    // As much as gzip could make of the file; tied weights count twice.
    var left = fileLength.multipliedReportingOverflow(by: 2200).partialValue
    if left < fileLength { left = .max }
    while !reader.isAtEnd {
      let name = try reader.text()
      let type = try reader.text()
      // As many extents as HDF5 allows.
      let rank = Int(try reader.integer(UInt32.self))
      guard rank <= 32 else { throw reader.nonsense() }
      let shape = try (0..<rank).map { _ in try reader.natural() }
      let offset = try reader.integer(UInt64.self)
      guard let element = ElementType(rawValue: type) else { throw reader.nonsense() }
      guard let bytes = elementCount(of: shape).flatMap({ element.byteCount(ofElements: $0) }), bytes <= left else {
        throw reader.nonsense()
      }
      left -= bytes
      let storage = HDF5Storage(
        helper: helper, dataset: tensors.count, elementBytes: element.byteCount, byteCount: bytes)
      guard
        let tensor = SourceTensor(
          name: name, elementType: element, shape: shape, file: path, offset: offset == .max ? nil : start &+ offset,
          storage: storage)
      else { throw reader.nonsense() }
      tensors.append(tensor)
    }
    return tensors
  }
}

/// A dataset's bytes, fetched as they are asked for.
private struct HDF5Storage: TensorStorage {
  let helper: HDF5Helper
  let dataset: Int
  let elementBytes: Int
  /// Of the whole dataset.
  let byteCount: Int

  func bytes(_ range: Range<Int>) throws -> Bytes {
    // Whole elements are fetched, and what was not asked for is cut off.
    let first = range.lowerBound / elementBytes
    let end = (range.upperBound + elementBytes - 1) / elementBytes
    let piece = HDF5File.pieceSize / elementBytes
    let whole = end - first <= piece ? try fetch(first..<end) : try fetchInPieces(first..<end, of: piece)
    guard let wanted = whole.slice(range.lowerBound - first * elementBytes, range.count) else {
      throw GristError(.badData, "the data have another length than they should")
    }
    return wanted
  }

  private func fetchInPieces(_ elements: Range<Int>, of piece: Int) throws -> Bytes {
    let buffer = AlignedBuffer(byteCount: elements.count * elementBytes)
    for start in stride(from: elements.lowerBound, to: elements.upperBound, by: piece) {
      let bytes = try fetch(start..<min(start + piece, elements.upperBound))
      let offset = (start - elements.lowerBound) * elementBytes
      buffer.withUnsafeMutableBytes { target in
        bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: target[offset...]).copyMemory(from: $0) }
      }
    }
    return buffer.bytes
  }

  private func fetch(_ elements: Range<Int>) throws -> Bytes {
    try helper.read(
      dataset: dataset, first: elements.lowerBound, count: elements.count, byteCount: elements.count * elementBytes,
      datasetBytes: byteCount)
  }

  func release(_ range: Range<Int>) {}
}

/// Reads what the helper wrote, one value after the other.
private struct ByteReader {
  let bytes: Bytes
  let path: String
  private var offset = 0

  init(bytes: Bytes, path: String) {
    self.bytes = bytes
    self.path = path
  }

  var isAtEnd: Bool { offset == bytes.count }

  mutating func integer<Integer: FixedWidthInteger>(_ type: Integer.Type) throws -> Integer {
    guard let value = bytes.integer(at: offset, as: type) else { throw nonsense() }
    offset += MemoryLayout<Integer>.size
    return value
  }

  mutating func natural() throws -> Int {
    guard let value = Int(exactly: try integer(UInt64.self)) else { throw nonsense() }
    return value
  }

  /// - Throws: 65 for a name that is no UTF-8: it could not be written into any other format.
  mutating func text() throws -> String {
    let length = Int(try integer(UInt32.self))
    guard let slice = bytes.slice(offset, length) else { throw nonsense() }
    offset += length
    guard let text = slice.utf8 else {
      throw GristError(
        .badData, "a dataset's name is not valid UTF-8", file: path, found: String(decoding: slice.array, as: UTF8.self)
      )
    }
    return text
  }

  func nonsense() -> GristError {
    GristError(.badData, "the program that reads HDF5 answers nonsense", file: path)
  }
}
