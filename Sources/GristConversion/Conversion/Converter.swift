import GristCore
import GristFormat
import GristKernels
import GristSources

/// Writes a planned `.grist` file, chunk by chunk.
public struct Converter: Sendable {
  public struct Progress: Sendable {
    public let tensor: String
    public let sourceBytesDone: Int
    public let sourceBytes: Int
  }

  public struct Summary: Sendable {
    public let path: String
    public let byteCount: Int
    public let tensors: Int
    public let sourceBytes: Int
    /// What should be known about how it went.
    public let notes: [String]
  }

  /// Chunks that are worked on at a time, for every thread.
  static let chunksPerThread = 4

  private let pool: ThreadPool
  private let packing: Packing

  public init(pool: ThreadPool, packing: Packing) {
    self.pool = pool
    self.packing = packing
  }

  /// Converts to the file at `path`; see ``convert(_:plan:recipe:to:feedback:progress:)-(_,_,_,AtomicFile,_,_)``.
  ///
  /// - Throws: What that throws, and 64 and 74 when the path cannot be written to.
  public func convert(
    _ source: ConversionSource, plan: ConversionPlan, recipe: Recipe, to path: String,
    feedback: (any FeedbackSource)? = nil, progress: (Progress) -> Void = { _ in }
  ) throws -> Summary {
    try convert(
      source, plan: plan, recipe: recipe, to: AtomicFile(path: path, kind: .grist), feedback: feedback,
      progress: progress)
  }

  /// Converts; the file appears complete or not at all.
  ///
  /// - Throws: What reading, encoding or writing throws, and 130 when the user interrupts.
  ///
  /// - Parameters:
  ///   - source: what is converted.
  ///   - plan: what was decided for it.
  ///   - recipe: what that followed from, for the file to tell.
  ///   - output: the file to write, empty.
  ///   - feedback: how rounding errors are fed on, where a tensor's scheme allows it.
  ///   - progress: hears how far the work is.
  public func convert(
    _ source: ConversionSource, plan: ConversionPlan, recipe: Recipe, to output: AtomicFile,
    feedback: (any FeedbackSource)? = nil, progress: (Progress) -> Void = { _ in }
  ) throws -> Summary {
    let writer = try GristWriter(
      output,
      provenance: Provenance(
        tool: "gristmill \(gristmillVersion)", architecture: plan.architecture, recipe: recipe.name.rawValue,
        overrides: recipe.overrides.map(\.text), packing: packing,
        fingerprint: source.inherited?.fingerprint ?? "", sources: source.inherited?.sources ?? [],
        lineage: source.inherited?.lineage ?? [], ignoredKeys: plan.choices.ignoredKeys.sorted(),
        promptTemplate: plan.choices.template ?? plan.toldTemplate?.rawValue))
    // A file that did not tell what its weights went through does not become one that does.
    let isTraced = source.inherited.map { !$0.lineage.isEmpty } ?? true
    var isLossy = false
    let total = plan.sourceBytes
    var done = 0
    var fingerprint = SourceFingerprint()
    var findings = ConversionFindings()
    let work = ParallelWork(
      pool: pool, hashing: FileHasher(source.inherited == nil ? source.weightFiles : [], tensors: source.tensors))
    var digits: [ByteName: String] = [:]
    for segment in plan.segments {
      work.later { writer.beginSegment(segment.name) }
      for entry in segment.entries {
        progress(Progress(tensor: entry.tensor.name, sourceBytesDone: done, sourceBytes: total))
        try locating(tensor: entry.tensor.name) {
          if let file = source.stored, let record = entry.stored, entry.isCopied {
            try copy(record, from: file, to: writer, work)
          } else {
            let (tensorDigits, isLossless) = try write(entry, feedback, &findings, to: writer, work)
            fingerprint.add(entry.tensor, digits: tensorDigits)
            digits[ByteName(entry.tensor.name)] = tensorDigits
            if !isLossless { isLossy = true }
          }
        }
        done += entry.tensor.byteCount
      }
    }
    try work.finishWriting()
    writer.beginSegment("files")
    for file in source.files {
      try writer.add(file: file.name, file.bytes, sha256: sha256(file.bytes), packing: packing)
    }
    if source.inherited == nil {
      progress(Progress(tensor: "hashing the source's files", sourceBytesDone: total, sourceBytes: total))
      writer.provenance.fingerprint = fingerprint.digits
      writer.provenance.sources = zip(source.weightFiles, try work.hashing.finish(expecting: digits)).map {
        file, hash in
        Provenance.Source(name: file.name, byteCount: file.byteCount, sha256: hash)
      }
    }
    // What was hashed, what was encoded and what the file now holds are the same.
    for file in source.weightFiles { try file.requireUnchanged() }
    try source.stored?.requireUnchanged()
    if isTraced {
      writer.provenance.lineage.append(
        Provenance.Step(
          tool: writer.provenance.tool, recipe: recipe.name.rawValue, isLossy: isLossy, calibration: feedback?.summary))
    }
    try writer.finish()
    return Summary(
      path: output.path, byteCount: writer.byteCount, tensors: plan.entries.count, sourceBytes: total,
      notes: findings.notes)
  }

  /// Writes one tensor in batches of chunks that are encoded and packed in parallel; returns its digits for the
  /// fingerprint, and whether no value changed.
  private func write(
    _ entry: ConversionPlan.Entry, _ feedback: (any FeedbackSource)?, _ findings: inout ConversionFindings,
    to writer: GristWriter, _ work: ParallelWork
  ) throws -> (digits: String, isLossless: Bool) {
    let name = entry.tensor.name
    let finished = try feedback?.finished(name)
    var fed: ErrorFeedback?
    if let feedback, finished == nil, entry.takesFeedback {
      fed = try feedback.feedback(for: name)
      if feedback.matrices.contains(ByteName(name)) { findings.feedback.add(name, fed) }
    }
    var encoder = try TensorEncoder(entry.tensor, scheme: finished?.scheme ?? entry.scheme, feedback: fed)
    let target = entry.isTable ? GristLayout.tableChunkTarget : GristLayout.chunkTarget
    let cut = Cut(units: encoder.units.count, unitsPerChunk: encoder.units.unitsPerChunk(target: target))
    if let finished { try check(finished, encoder, cut) }
    let (digits, checksums, greatest) = try look(at: encoder, cut, work)
    if encoder.needsScan, finished == nil { encoder = try encoder.scanned(greatest) }
    if !greatest.isFinite { findings.addNotFinite(name) }
    let element: ElementType? = if case .plain(let type) = encoder.scheme { type } else { nil }

    work.later { try writer.beginTensor(named: name) }
    var sums = finished?.error ?? ErrorSums()
    let isWanted = feedback?.wants(name) == true
    var runs: [Bytes] = []
    let batch = pool.threadCount * Self.chunksPerThread
    for first in stride(from: 0, to: cut.chunks, by: batch) {
      try Interruption.check()
      let chunks = first..<min(first + batch, cut.chunks)
      let ready = encoder
      let results = try work.map(chunks.count, sourceBytes: entry.tensor.byteCount / cut.chunks * chunks.count) {
        index in
        let payload: Bytes
        var error = ErrorSums()
        if let finished {
          payload = finished.runs[first + index]
        } else {
          let encoded = try ready.encode(cut.units(ofChunk: first + index))
          guard encoded.sourceChecksum == checksums[first + index] else { throw entry.tensor.changed() }
          (payload, error) = (encoded.payload, encoded.error)
        }
        return (
          chunk: try PackedChunk(payload, packing: packing, element: element), error: error,
          payload: isWanted ? payload : nil
        )
      }
      for result in results { sums += result.error }
      runs += results.compactMap(\.payload)
      work.later {
        for result in results { try writer.append(result.chunk) }
        ready.release(cut.units(ofChunk: first).lowerBound..<cut.units(ofChunk: chunks.upperBound - 1).upperBound)
      }
    }
    let record = TensorRecord(
      name: entry.tensor.name, sourceName: entry.stored?.sourceName ?? entry.tensor.sourceName,
      shape: entry.tensor.shape, scheme: encoder.scheme,
      sourceElement: entry.stored?.sourceElement ?? entry.tensor.elementType,
      relativeError: entry.compounded(sums.relativeError), worstRowError: sums.worstRow.map(entry.compounded))
    if let worst = record.worstRowError, worst >= ConversionFindings.drowned { findings.addDrowned(name, worst) }
    work.later { writer.endTensor(record, unitsPerChunk: cut.unitsPerChunk) }
    if isWanted {
      try feedback?.keep(
        name,
        as: FinishedMatrix(
          scheme: record.scheme, shape: record.shape, runs: runs, unitsPerRun: cut.unitsPerChunk, error: sums))
    }
    return (digits, sums.isLossless)
  }

  /// - Throws: 65 when what an earlier conversion left of a matrix is not what this one would write.
  private func check(_ finished: FinishedMatrix, _ encoder: TensorEncoder, _ cut: Cut) throws {
    let lengths = (0..<cut.chunks).map { cut.units(ofChunk: $0).count * encoder.units.bytesPerUnit }
    guard finished.shape == encoder.source.shape, finished.unitsPerRun == cut.unitsPerChunk,
      finished.runs.map(\.count) == lengths
    else {
      throw GristError(
        .badData, "what an earlier calibration left of the tensor does not fit it",
        found: "\(finished.runs.count) parts",
        advice: "remove the .unfinished folder beside the output and begin again")
    }
  }

  /// Copies a tensor that another `.grist` file stores just as it is wanted; only its packing may change.
  private func copy(
    _ record: TensorRecord, from file: GristFile, to writer: GristWriter, _ work: ParallelWork
  ) throws {
    let element: ElementType? = if case .plain(let type) = record.scheme { type } else { nil }
    work.later { try writer.beginTensor(named: record.name) }
    let batch = pool.threadCount * Self.chunksPerThread
    for first in stride(from: 0, to: record.chunks.count, by: batch) {
      try Interruption.check()
      let chunks = try work.map(min(batch, record.chunks.count - first), sourceBytes: 0) { index in
        let chunk = record.chunks.first + first + index
        return (chunk, try PackedChunk(file.payload(ofChunk: chunk), packing: packing, element: element))
      }
      work.later {
        for (index, chunk) in chunks {
          try writer.append(chunk)
          file.release(chunk: index)
        }
      }
    }
    work.later { writer.endTensor(record, unitsPerChunk: record.chunks.unitsPerChunk) }
  }

  /// The first pass over a tensor: its digits for the fingerprint, a checksum of each chunk's source and, where the scheme wants
  /// it, the greatest magnitude.
  private func look(
    at encoder: TensorEncoder, _ cut: Cut, _ work: ParallelWork
  ) throws -> (digits: String, checksums: [UInt64], greatest: Float) {
    // What is kept as it came is looked at too: a value that is not finite spoils every answer, and is told.
    let scans = encoder.needsScan || encoder.canBeScanned ? cut.chunks : 0
    let results = try work.map(1 + scans, sourceBytes: 0) {
      index -> (digits: String, checksums: [UInt64], magnitude: Float) in
      guard index == 0 else { return ("", [], try encoder.scan(cut.units(ofChunk: index - 1))) }
      var fingerprint = StreamingFingerprint()
      var checksums: [UInt64] = []
      checksums.reserveCapacity(cut.chunks)
      for chunk in 0..<cut.chunks {
        checksums.append(try encoder.identify(cut.units(ofChunk: chunk), &fingerprint))
      }
      return (fingerprint.digits(), checksums, 0)
    }
    let greatest = results.reduce(Float(0)) { $1.magnitude.isFinite ? max($0, $1.magnitude) : .infinity }
    return (results[0].digits, results[0].checksums, greatest)
  }

  /// How a tensor's units are cut into chunks.
  private struct Cut: Sendable {
    let units: Int
    let unitsPerChunk: Int
    var chunks: Int { (units + unitsPerChunk - 1) / unitsPerChunk }

    func units(ofChunk chunk: Int) -> Range<Int> {
      chunk * unitsPerChunk..<min((chunk + 1) * unitsPerChunk, units)
    }
  }
}

extension ConversionPlan.Entry {
  /// The error against the very source when what is encoded had lost something already: by the triangle inequality no
  /// more than this.
  fileprivate func compounded(_ error: Double) -> Double {
    guard let earlier = stored?.relativeError, earlier > 0 else { return error }
    return earlier + error * (1 + earlier)
  }
}
