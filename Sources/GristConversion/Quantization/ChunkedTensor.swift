import GristCore
import GristFormat
import GristKernels
import GristSources

/// A tensor on its way into a scheme, cut into chunks of whole tiles or rows.
struct ChunkedTensor: Sendable {
  private(set) var encoder: TensorEncoder
  let unitsPerChunk: Int

  /// - Parameter target: payload bytes that a chunk aims for.
  ///
  /// - Throws: 65 when the scheme cannot hold the tensor's shape.
  init(
    _ tensor: SourceTensor, scheme: TensorScheme, feedback: ErrorFeedback? = nil, target: Int = GristLayout.chunkTarget
  ) throws {
    encoder = try TensorEncoder(tensor, scheme: scheme, feedback: feedback)
    unitsPerChunk = encoder.units.unitsPerChunk(target: target)
  }

  var scheme: TensorScheme { encoder.scheme }
  var count: Int { (encoder.units.count + unitsPerChunk - 1) / unitsPerChunk }

  /// Tiles or rows of a chunk.
  func units(of chunk: Int) -> Range<Int> {
    chunk * unitsPerChunk..<min((chunk + 1) * unitsPerChunk, encoder.units.count)
  }

  /// Payload bytes of a chunk.
  func byteCount(of chunk: Int) -> Int { units(of: chunk).count * encoder.units.bytesPerUnit }

  /// The greatest magnitude in a chunk's source; see ``TensorEncoder/scan(_:)``.
  func scan(_ chunk: Int) throws -> Float { try encoder.scan(units(of: chunk)) }

  /// Adapts the scheme to the greatest magnitude of all chunks; see ``TensorEncoder/scanned(_:)``.
  mutating func adapt(to greatest: Float) throws { encoder = try encoder.scanned(greatest) }

  func encode(_ chunk: Int) throws -> TensorEncoder.Encoded { try encoder.encode(units(of: chunk)) }

  /// Gives the source's memory of some chunks back.
  func release(_ chunks: Range<Int>) {
    guard let first = chunks.first, let last = chunks.last else { return }
    encoder.release(units(of: first).lowerBound..<units(of: last).upperBound)
  }

  /// All of it, scanned and encoded.
  ///
  /// - Throws: 65 for values that are not finite.
  func finished(_ pool: ThreadPool) throws -> FinishedMatrix {
    var ready = self
    try ready.adapt(to: pool.map(count) { try scan($0) }.max() ?? 0)
    let adapted = ready
    let encoded = try pool.map(count) { try adapted.encode($0) }
    return FinishedMatrix(
      scheme: adapted.scheme, shape: encoder.source.shape, runs: encoded.map(\.payload), unitsPerRun: unitsPerChunk,
      error: encoded.reduce(into: ErrorSums()) { $0 += $1.error })
  }
}
