import GristCore
import GristFormat
import GristKernels
import GristSources

/// Writes a planned `.grist` file, chunk by chunk.
package struct Converter: Sendable {
  package struct Progress: Sendable {
    package let tensor: String
    package let sourceBytesDone: Int
    package let sourceBytes: Int
  }

  package struct Summary: Sendable {
    package let path: String
    package let byteCount: Int
    package let tensors: Int
    package let sourceBytes: Int
    /// What should be known about how it went.
    package let notes: [String]
  }

  /// Chunks that are worked on at a time, for every thread.
  static let chunksPerThread = 4

  private let pool: ThreadPool
  private let packing: Packing

  package init(pool: ThreadPool, packing: Packing) {
    self.pool = pool
    self.packing = packing
  }

  /// Converts to the file at `path`; see ``convert(_:plan:recipe:to:correction:progress:)-(_,_,_,AtomicFile,_,_)``.
  ///
  /// - Throws: What that throws, and 64 and 74 when the path cannot be written to.
  package func convert(
    _ source: Source, plan: ConversionPlan, recipe: Recipe, to path: String,
    correction: (any ErrorCorrection)? = nil, progress: (Progress) throws -> Void = { _ in }
  ) throws -> Summary {
    try convert(
      source, plan: plan, recipe: recipe, to: AtomicFile(path: path, kind: .grist), correction: correction,
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
  ///   - correction: how rounding errors are corrected, where a tensor's scheme allows it.
  ///   - alignment: how the router was trained whose tensors replace the source's; the recipe is the source's own then.
  ///   - progress: hears how far the work is.
  package func convert(
    _ source: Source, plan: ConversionPlan, recipe: Recipe, to output: AtomicFile,
    correction: (any ErrorCorrection)? = nil, alignment: Provenance.Alignment? = nil,
    progress: (Progress) throws -> Void = { _ in }
  ) throws -> Summary {
    // Of a .grist file, provenance stays true.
    let inherited = source.file?.manifest.provenance
    let kept = alignment == nil ? nil : inherited
    let writer = try GristWriter(
      output,
      provenance: Provenance(
        tool: "gristmill \(gristmillVersion)", architecture: plan.architecture,
        recipe: kept?.recipe ?? recipe.name.rawValue, overrides: kept?.overrides ?? recipe.overrides.map(\.text),
        packing: packing,
        fingerprint: inherited?.fingerprint ?? "", sources: inherited?.sources ?? [],
        lineage: inherited?.lineage ?? [], ignoredKeys: plan.configurationOptions.ignoredKeys.sorted(),
        promptTemplate: plan.configurationOptions.template ?? plan.toldTemplate?.rawValue,
        correctsUnpadding: plan.configurationOptions.correctsUnpadding == true))
    // A file that did not tell what its weights went through does not become one that does.
    let isTraced = inherited.map { !$0.lineage.isEmpty } ?? true
    var isLossy = false
    let total = plan.sourceBytes
    var done = 0
    var fingerprint = SourceFingerprint()
    var findings = ConversionFindings()
    let work = ParallelWork(
      pool: pool, hashing: try FileHasher(source.weightFiles, tensors: source.tensors()))
    var digits: [ByteName: String] = [:]
    let origins = Origins(source)
    for segment in plan.segments {
      work.later { writer.beginSegment(segment.name) }
      for entry in segment.entries {
        try progress(Progress(tensor: entry.tensor.name, sourceBytesDone: done, sourceBytes: total))
        try locating(tensor: entry.tensor.name) {
          if let file = source.file, let record = entry.stored, entry.isCopied {
            try copy(record, from: file, to: writer, work)
          } else {
            let (tensorDigits, isLossless) = try write(entry, origins[entry], correction, &findings, to: writer, work)
            if entry.tensor.origin.unused == nil { fingerprint.add(entry.tensor, digits: tensorDigits) }
            digits[ByteName(entry.tensor.name)] = tensorDigits
            if !isLossless { isLossy = true }
          }
        }
        done += entry.tensor.byteCount
      }
      // Else a model of many layers takes twice what the plan says.
      returnFreedMemory(keeping: Self.keptBytes)
    }
    try work.finishWriting()
    writer.beginSegment("files")
    for file in try source.keptFiles() {
      try writer.add(file: file.name, file.bytes, sha256: sha256(file.bytes), packing: packing)
    }
    if inherited == nil {
      try progress(Progress(tensor: "hashing the source's files", sourceBytesDone: total, sourceBytes: total))
      writer.provenance.fingerprint = fingerprint.digits
      writer.provenance.sources = zip(source.weightFiles, try work.hashing.finish(expecting: digits)).map {
        file, hash in
        Provenance.Source(name: file.name, byteCount: file.byteCount, sha256: hash)
      }
    }
    // What was hashed, what was encoded and what the file now holds are the same.
    for file in source.weightFiles { try file.requireUnchanged() }
    try source.file?.requireUnchanged()
    if isTraced {
      writer.provenance.lineage.append(
        Provenance.Step(
          tool: writer.provenance.tool, recipe: alignment == nil ? recipe.name.rawValue : "align",
          isLossy: isLossy || alignment != nil, calibration: correction?.summary, alignment: alignment))
    }
    try writer.finish()
    return Summary(
      path: output.path, byteCount: writer.byteCount, tensors: plan.entries.count, sourceBytes: total,
      notes: findings.notes)
  }

  /// Freed memory that is kept for later: to have it cleared by the system again costs time.
  static let keptBytes = 64 << 20

  /// Writes one tensor as its correction tells; returns its digits for the fingerprint, and whether no value changed.
  private func write(
    _ entry: ConversionPlan.Entry, _ origin: TensorRecord.Origin, _ correction: (any ErrorCorrection)?,
    _ findings: inout ConversionFindings, to writer: GristWriter, _ work: ParallelWork
  ) throws -> (digits: String, isLossless: Bool) {
    guard let correction else {
      let written = try write(entry, origin, .encode(nil, returnsCodes: false), &findings, to: writer, work)
      return (written.digits, written.isLossless)
    }
    let name = entry.tensor.name
    var result: (digits: String, isLossless: Bool) = ("", true)
    try correction.quantize(name, takesFeedback: entry.takesFeedback) { step in
      if case .encode(let feedback, _) = step, entry.takesFeedback, correction.matrices.contains(ByteName(name)) {
        findings.feedback.add(name, feedback)
      }
      let written = try write(entry, origin, step, &findings, to: writer, work)
      result = (written.digits, written.isLossless)
      return written.codes
    }
    return result
  }

  /// What became of a tensor; its codes where they were asked for.
  private struct Written {
    let digits: String
    let isLossless: Bool
    let codes: FinishedMatrix?
  }

  /// Writes one tensor in batches of chunks that are encoded and packed in parallel.
  private func write(
    _ entry: ConversionPlan.Entry, _ origin: TensorRecord.Origin, _ step: QuantizationStep,
    _ findings: inout ConversionFindings, to writer: GristWriter, _ work: ParallelWork
  ) throws -> Written {
    let name = entry.tensor.name
    let (finished, feedback, returnsCodes): (FinishedMatrix?, ErrorFeedback?, Bool) =
      switch step {
      case .copy(let matrix): (matrix, nil, false)
      case .encode(let feedback, let returnsCodes): (nil, feedback, returnsCodes)
      }
    var tensor = try ChunkedTensor(
      entry.tensor, scheme: finished?.scheme ?? entry.scheme, feedback: feedback,
      target: entry.isTable ? GristLayout.tableChunkTarget : GristLayout.chunkTarget)
    if let finished { try check(finished, tensor) }
    let (digits, checksums, greatest) = try look(at: tensor, work)
    if tensor.encoder.needsScan, finished == nil { try tensor.adapt(to: greatest) }
    if !greatest.isFinite { findings.addNotFinite(name) }
    let element: ElementType? = if case .plain(let type) = tensor.scheme { type } else { nil }

    work.later { try writer.beginTensor(named: name) }
    var sums = finished?.error ?? ErrorSums()
    var runs: [Bytes] = []
    let batch = pool.threadCount * Self.chunksPerThread
    for first in stride(from: 0, to: tensor.count, by: batch) {
      try Interruption.check()
      let chunks = first..<min(first + batch, tensor.count)
      let ready = tensor
      let results = try work.map(chunks.count, sourceBytes: entry.tensor.byteCount / tensor.count * chunks.count) {
        index in
        let payload: Bytes
        var error = ErrorSums()
        if let finished {
          payload = finished.runs[first + index]
        } else {
          let encoded = try ready.encode(first + index)
          guard encoded.sourceChecksum == checksums[first + index] else { throw entry.tensor.changed() }
          (payload, error) = (encoded.payload, encoded.error)
        }
        return (
          chunk: try PackedChunk(payload, packing: packing, element: element), error: error,
          payload: returnsCodes ? payload : nil
        )
      }
      for result in results { sums += result.error }
      runs += results.compactMap(\.payload)
      work.later {
        for result in results { try writer.append(result.chunk) }
        ready.release(chunks)
      }
    }
    let record = TensorRecord(
      name: name, origin: origin, shape: entry.tensor.shape,
      scheme: tensor.scheme, relativeError: entry.compounded(sums.relativeError),
      worstRowError: entry.change == nil ? sums.worstRow.map(entry.compounded) : nil, unused: entry.tensor.origin.unused
    )
    if let worst = record.worstRowError, worst >= ConversionFindings.drowned { findings.addDrowned(name, worst) }
    let unitsPerChunk = tensor.unitsPerChunk
    work.later { writer.endTensor(record, unitsPerChunk: unitsPerChunk) }
    let codes =
      returnsCodes
      ? FinishedMatrix(scheme: record.scheme, shape: record.shape, runs: runs, unitsPerRun: unitsPerChunk, error: sums)
      : nil
    return Written(digits: digits, isLossless: sums.isLossless, codes: codes)
  }

  /// - Throws: 65 when what an earlier conversion left of a matrix is not what this one would write.
  private func check(_ finished: FinishedMatrix, _ tensor: ChunkedTensor) throws {
    guard finished.shape == tensor.encoder.source.shape, finished.unitsPerRun == tensor.unitsPerChunk,
      finished.runs.map(\.count) == (0..<tensor.count).map(tensor.byteCount)
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

  /// The first pass over a tensor: its digits for the fingerprint, a checksum of each chunk's source and, where the
  /// scheme wants it, the greatest magnitude.
  private func look(
    at tensor: ChunkedTensor, _ work: ParallelWork
  ) throws -> (digits: String, checksums: [UInt64], greatest: Float) {
    // What is kept as it came is looked at too: a value that is not finite spoils every answer, and is told.
    let scans = tensor.encoder.needsScan || tensor.encoder.canBeScanned ? tensor.count : 0
    @Sendable func identify() throws -> Look {
      var fingerprint = StreamingFingerprint()
      var checksums: [UInt64] = []
      checksums.reserveCapacity(tensor.count)
      for chunk in 0..<tensor.count {
        checksums.append(try tensor.encoder.identify(tensor.units(of: chunk), &fingerprint))
      }
      return .identity(digits: fingerprint.digits(), checksums)
    }
    var seen: (digits: String, checksums: [UInt64], greatest: Float) = ("", [], 0)
    let looks = try work.map(1 + scans, sourceBytes: 0) { index in
      index == 0 ? try identify() : .magnitude(try tensor.scan(index - 1))
    }
    for look in looks {
      switch look {
      case .identity(let digits, let checksums): (seen.digits, seen.checksums) = (digits, checksums)
      case .magnitude(let magnitude): seen.greatest = magnitude.isFinite ? max(seen.greatest, magnitude) : .infinity
      }
    }
    return seen
  }

  /// What one thread finds out about a tensor.
  private enum Look {
    case identity(digits: String, [UInt64])
    case magnitude(Float)
  }
}

extension ConversionPlan.Entry {
  /// The error against the very source when what is encoded had lost something already: by the triangle inequality no
  /// more than this.
  fileprivate func compounded(_ error: Double) -> Double {
    guard let earlier = change ?? stored?.relativeError, earlier > 0 else { return error }
    return earlier + error * (1 + earlier)
  }
}
