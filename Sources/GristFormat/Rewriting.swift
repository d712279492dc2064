import GristCore

extension GristFile {
  /// What is to take this file's place. Nobody else can write it meanwhile.
  ///
  /// - Throws: 74 when it cannot be written.
  package func replacement() throws -> AtomicFile { try AtomicFile(path: path, replacing: identity) }

  /// Writes this file anew, chunks copied as they are stored, with one of the files inside added or replaced. The new
  /// file takes the old one's place in one step; this value goes on reading the old one.
  ///
  /// - Parameters:
  ///   - name: the file inside.
  ///   - bytes: what it holds from now on.
  ///   - sha256: of the bytes, in hexadecimal.
  ///   - output: what ``replacement()`` gave; nil asks for it now.
  ///
  /// - Throws: 65 when the file is damaged, 74 when writing fails or the file is another one by now, 130 when the user
  ///   interrupts.
  package func rewrite(replacing name: String, with bytes: Bytes, sha256: String, to output: AtomicFile? = nil) throws {
    let writer = try GristWriter(output ?? replacement(), provenance: manifest.provenance)
    var nextSegment = manifest.segments[...]
    func startSegments(upTo chunk: Int) {
      while let segment = nextSegment.first, segment.first <= chunk {
        writer.beginSegment(segment.name)
        nextSegment.removeFirst()
      }
    }
    let tensors = manifest.tensors.sorted { $0.chunks.first < $1.chunks.first }
    for tensor in tensors {
      startSegments(upTo: tensor.chunks.first)
      try Interruption.check()
      try writer.beginTensor(named: tensor.name)
      for chunk in tensor.chunks.range { try writer.append(storedChunk(chunk)) }
      writer.endTensor(tensor, unitsPerChunk: tensor.chunks.unitsPerChunk)
    }
    for record in manifest.files.sorted(by: { $0.chunks.first < $1.chunks.first }) where record.name != name {
      startSegments(upTo: record.chunks.first)
      guard let contents = try sideFile(named: record.name) else {
        throw GristError(.badData, "a file it should hold is not there", file: path, found: record.name)
      }
      try writer.add(
        file: record.name, contents, sha256: record.sha256, packing: manifest.provenance.packing)
    }
    writer.beginSegment("records")
    try writer.add(file: name, bytes, sha256: sha256, packing: manifest.provenance.packing)
    try writer.finish()
  }
}
