import GristCore

extension FileIndex {
  /// Every chunk belongs to exactly one tensor or file, or is free, and what they declare is what their chunks hold.
  ///
  /// - Throws: 65 naming the tensor or file where that is not so.
  func checkOwnership(path: String) throws {
    var ownership = Ownership(chunks: chunks, path: path, offset: offset)
    for tensor in manifest.tensors {
      for plane in tensor.planes { try ownership.claim(plane.chunks, "\(tensor.name), plane \(plane.role)") }
      if case .unknown = tensor.scheme {
        try ownership.claim(tensor.chunks, tensor.name)
        continue
      }
      guard let units = PayloadUnits(scheme: tensor.scheme, shape: tensor.shape) else {
        throw GristError(
          .badData, "its scheme cannot hold its shape", file: path, tensor: tensor.name,
          found: "\(tensor.scheme.name) \(tensor.shape)")
      }
      try ownership.claim(tensor.chunks, units: units.count, bytesPerUnit: units.bytesPerUnit, tensor.name)
    }
    for record in manifest.files {
      try ownership.claim(record.chunks, units: record.byteCount, bytesPerUnit: 1, record.name)
    }
    if let orphan = ownership.firstWithout {
      throw GristError(
        .badData, "a chunk belongs to nothing", file: path, offset: UInt64(chunks[orphan].offset),
        found: "chunk \(orphan)")
    }
    for (names, what) in [(manifest.tensors.map(\.name), "tensor"), (manifest.files.map(\.name), "file")]
    where Set(names.map(ByteName.init)).count != names.count {
      throw GristError(.badData, "two \(what)s have the same name", file: path, offset: UInt64(offset))
    }
  }
}

/// Who has which chunk.
private struct Ownership {
  private let chunks: [ChunkEntry]
  private let path: String
  /// Of the index, for messages.
  private let offset: Int
  private var owned: [Bool]

  init(chunks: [ChunkEntry], path: String, offset: Int) {
    (self.chunks, self.path, self.offset) = (chunks, path, offset)
    owned = chunks.map(\.isFree)
  }

  /// A chunk that belongs to nobody.
  var firstWithout: Int? { owned.firstIndex(of: false) }

  private func failure(_ owner: String, _ what: String, _ found: String) -> GristError {
    GristError(.badData, what, file: path, tensor: owner, offset: UInt64(offset), found: found)
  }

  /// Takes chunks whose contents this version cannot judge.
  mutating func claim(_ run: ChunkRun, _ owner: String) throws {
    guard run.first <= chunks.count, run.count <= chunks.count - run.first else {
      throw failure(
        owner, "it names chunks that are not there", "\(run.first) and \(run.count) more of \(chunks.count)")
    }
    for index in run.range {
      guard !owned[index] else {
        throw failure(
          owner, chunks[index].isFree ? "it names a chunk that is free" : "it shares a chunk with another",
          "chunk \(index)")
      }
      owned[index] = true
    }
  }

  /// Takes chunks that hold so many units between them.
  mutating func claim(_ run: ChunkRun, units: Int, bytesPerUnit: Int, _ owner: String) throws {
    try claim(run, owner)
    let expected = units == 0 ? 0 : (units - 1) / run.unitsPerChunk + 1
    guard run.count == expected else {
      throw failure(
        owner, "its chunks do not hold what its shape asks for", "\(run.count) chunks instead of \(expected)")
    }
    for index in run.range {
      let unitsHere = min(run.unitsPerChunk, units - (index - run.first) * run.unitsPerChunk)
      let (length, overflow) = unitsHere.multipliedReportingOverflow(by: bytesPerUnit)
      guard !overflow, chunks[index].payloadLength == length else {
        throw failure(
          owner, "chunk \(index) does not hold what the shape asks for",
          "\(chunks[index].payloadLength) bytes instead of \(overflow ? Int.max : length)")
      }
    }
  }
}
