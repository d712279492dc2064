import GristCore

/// Where the index of a file's state lies, and how it is put together: enough to find it again once more was added.
package struct IndexPlace: Sendable, Equatable {
  package let offset: Int
  package let byteCount: Int
  package let manifestLength: Int

  package init(offset: Int, byteCount: Int, manifestLength: Int) {
    (self.offset, self.byteCount, self.manifestLength) = (offset, byteCount, manifestLength)
  }
}

extension GristFile {
  /// Of the state that is open.
  package var indexPlace: IndexPlace {
    IndexPlace(
      offset: index.offset, byteCount: index.end - index.offset, manifestLength: Int(index.slot.manifestLength))
  }

  /// The bytes of an index, of this state or of an earlier one.
  ///
  /// - Throws: 65 when the file has none there.
  package func indexBytes(at place: IndexPlace) throws -> Bytes {
    let isEarlier = index.chunks.contains { chunk in
      chunk.isFree && chunk.offset == place.offset && chunk.storedLength == place.byteCount
    }
    guard isEarlier || place == indexPlace, let bytes = file.bytes.slice(place.offset, place.byteCount) else {
      throw GristError(
        .badData, "the file has no index where one is looked for", file: path, offset: UInt64(clamping: place.offset))
    }
    return bytes
  }

  /// Finds out whether everything that can be used of the file was there, just so, at an earlier state: tensors,
  /// provenance, and files inside but those that `isNew` tells of.
  ///
  /// - Parameters:
  ///   - place: where that state's index lies, whose bytes are known to be right.
  ///   - isNew: whether a file inside of some name may have come later.
  ///
  /// - Returns: how many chunks that state had.
  /// - Throws: 65 naming what is another.
  package func requireOnlyAdditions(since place: IndexPlace, _ isNew: (String) -> Bool) throws -> Int {
    let (then, chunks) = try locating(file: path) {
      try FileIndex.parse(indexBytes(at: place), at: place.offset, manifestLength: place.manifestLength)
    }
    func failure(_ what: String) -> GristError {
      GristError(.badData, "something in the file is not what it was when it was signed", file: path, found: what)
    }
    guard then.provenance == manifest.provenance else { throw failure("its provenance") }
    guard then.tensors == manifest.tensors else { throw failure("its tensors") }
    for record in manifest.files where !isNew(record.name) && !then.files.contains(record) {
      throw failure(record.name.shortened())
    }
    for record in then.files where !manifest.files.contains(record) && !isNew(record.name) {
      throw failure(record.name.shortened())
    }
    guard chunks.count <= index.chunks.count,
      zip(chunks, index.chunks).allSatisfy({ $0 == $1 || $1.isFree && $1.offset == $0.offset })
    else { throw failure("its chunks") }
    return chunks.count
  }

  /// The stored bytes of every chunk, each once, for those who hash them; nil for one that is free.
  ///
  /// - Throws: 65 when a checksum is wrong, 130 when the user interrupts.
  package func forEachStoredChunk(_ body: (Bytes?) throws -> Void) throws {
    for (number, chunk) in index.chunks.enumerated() {
      try Interruption.check()
      try body(chunk.isFree ? nil : verifiedStored(number))
      release(chunk: number)
    }
  }
}
