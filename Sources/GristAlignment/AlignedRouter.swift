import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristSources

/// A router that was trained, on its way into the file that it was trained for.
struct AlignedRouter {
  let alignment: Provenance.Alignment
  private let source: Source
  private let replacements: [ConversionPlan.Replacement]

  /// - Parameters:
  ///   - weights: as they were trained.
  ///   - source: the file.
  ///   - summary: how, for people.
  ///
  /// - Throws: 65 when the file's own router is damaged.
  init(_ weights: RouterWeights, source: Source, summary: String) throws {
    self.source = source
    let stored = Dictionary(
      try source.tensors().map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
    var values: [Bytes] = []
    replacements = try zip(weights.routing.tensors, weights.tensors).map { expected, trained in
      let bytes = trained.sharedBytes
      values.append(bytes)
      guard
        let tensor = SourceTensor(
          name: expected.name, elementType: .f32, shape: expected.shape, file: source.path, offset: nil,
          storage: TrainedStorage(values: bytes))
      else { throw GristError(.badData, "the shape is too large", file: source.path, tensor: expected.name) }
      return ConversionPlan.Replacement(
        tensor, change: try Self.change(trained, from: stored[ByteName(expected.name)], source))
    }
    let digests = values.map { sha256($0) }
    alignment = Provenance.Alignment(
      digest: sha256(Bytes(Array(digests.joined().utf8))), summary: summary)
  }

  /// How far a tensor is from upstream's at most: from the file's own, and that from upstream's.
  private static func change(_ trained: FloatMatrix, from stored: SourceTensor?, _ source: Source) throws -> Double {
    guard let stored, stored.elementCount == trained.count, stored.elementType.isFloatingPoint else { return 1 }
    let earlier = source.file?.tensor(named: stored.name)?.relativeError ?? 0
    let own = floats(trained.sharedBytes, .f32)
    let sums = differenceSums(own, from: floats(try stored.bytes(), stored.elementType))
    return (1 + earlier) * (1 + sums.relativeError) - 1
  }

  /// Writes the file with this router in place of its own, stored as that was; everything else is copied.
  ///
  /// - Returns: The file's bytes.
  /// - Throws: What reading and writing throw, 130 when interrupted.
  func write(to output: AtomicFile, pool: ThreadPool, progress: (Double) throws -> Void) throws -> Int {
    let recipe = try Recipe(.source, groupSize: RequestedScheme.defaultGroupSize)
    let plan = try ConversionPlan(source, recipe: recipe, replacing: replacements)
    let packing = source.file?.manifest.provenance.packing ?? .zstd
    return try Converter(pool: pool, packing: packing).convert(
      source, plan: plan, recipe: recipe, to: output, alignment: alignment
    ) { try progress(Double($0.sourceBytesDone) / Double(max($0.sourceBytes, 1))) }.byteCount
  }
}

/// A tensor's values in memory.
private struct TrainedStorage: TensorStorage {
  let values: Bytes

  func bytes(_ range: Range<Int>) throws -> Bytes {
    guard let slice = values.slice(range.lowerBound, range.count) else {
      throw GristError(.badData, "a trained tensor has no such bytes", found: "\(range)")
    }
    return slice
  }

  func release(_ range: Range<Int>) {}
}
