import GristCore
import GristImaging
import GristKernels
import GristSources

/// Remembers what pictures and prompts became, so that a second question about a picture, and a conversation's next
/// turn, do not pay for them again.
///
/// A picture's features are kept by the digest of its file; keys and values of prompts by what the prompts are made of.
/// What was used longest ago goes first. Answers are what they are without it, to the last bit: only rows of prompts
/// are kept, which are computed the same however the prompt is cut, see Docs/small-hosts.md.
///
/// Used from one thread at a time.
public final class PromptMemory {
  private struct Picture {
    let digest: String
    let features: VisionLanguageModel.ImageFeatures
  }

  private final class Kept {
    let cache: KeyValueCache
    let parts: [PromptPart]
    /// Rows of the prompt: what stands behind them came token by token.
    let rows: Int

    init(_ cache: KeyValueCache, _ parts: [PromptPart], rows: Int) {
      (self.cache, self.parts, self.rows) = (cache, parts, rows)
    }
  }

  private let model: VisionLanguageModel
  private let budget: Int
  private var pictures: [Picture] = []
  /// Caches of prompts that nobody answers any more, the one that was used longest ago first.
  private var idle: [Kept] = []
  /// Caches of prompts that are being answered.
  private var used: [ObjectIdentifier: Kept] = [:]

  /// - Parameters:
  ///   - model: what answers.
  ///   - budget: bytes of features, keys and values that are kept beside what is being answered.
  public init(_ model: VisionLanguageModel, budget: Int) {
    (self.model, self.budget) = (model, budget)
  }

  /// What tower and projector make of a picture.
  ///
  /// - Parameters:
  ///   - bytes: of its file.
  ///   - name: the file, for messages.
  ///
  /// - Returns: The features, and whether they were there already.
  /// - Throws: As decoding and encoding a picture do.
  public func features(
    of bytes: Bytes, name: String
  ) throws -> (features: VisionLanguageModel.ImageFeatures, wereKept: Bool) {
    let digest = sha256(bytes)
    if let index = pictures.firstIndex(where: { $0.digest == digest }) {
      let picture = pictures.remove(at: index)
      pictures.append(picture)
      return (picture.features, true)
    }
    let features = try model.encode(model.tiles(of: model.picture(encoded: bytes, name: name)), identity: digest)
    pictures.append(Picture(digest: digest, features: features))
    shrink()
    return (features, false)
  }

  /// Starts decoding as `VisionLanguageModel.start` does, behind what is kept of the prompt's beginning.
  ///
  /// - Parameters:
  ///   - prompt: what is answered.
  ///   - newTokens: the longest answer.
  ///
  /// - Returns: The session, and how many rows of the prompt were kept. ``finish(_:)`` takes it back.
  /// - Throws: As that does.
  public func start(
    _ prompt: VisionLanguageModel.PreparedPrompt, newTokens: Int
  ) throws -> (session: DecodingSession, keptRows: Int) {
    let parts = prompt.parts
    let cache = reusable(parts, rows: prompt.sequenceLength)
    let kept = cache?.count ?? 0
    let session = try model.start(prompt, behind: cache, newTokens: newTokens)
    used[ObjectIdentifier(session)] = Kept(session.cache, parts, rows: prompt.sequenceLength)
    return (session, kept)
  }

  /// Takes a session back: its prompt is kept, its answer is not.
  public func finish(_ session: DecodingSession) {
    guard let kept = used.removeValue(forKey: ObjectIdentifier(session)) else { return }
    kept.cache.rewind(to: kept.rows)
    idle.append(kept)
    shrink()
  }

  /// A cache that holds a prompt's first rows, and leaves so many that they are computed as the whole prompt's are; nil
  /// where nothing worth it is kept.
  private func reusable(_ parts: [PromptPart], rows: Int) -> KeyValueCache? {
    // Where values meet values, the order of sums depends on how many rows there are.
    guard model.computesAlike else { return nil }
    let candidates = idle + Array(used.values)
    guard let best = candidates.max(by: { shared($0, parts) < shared($1, parts) }) else { return nil }
    let count = min(shared(best, parts), rows - Compute.manyRows)
    guard count >= Compute.manyRows else { return nil }
    // What little a conversation loses is computed again sooner than all of it is copied.
    if let index = idle.firstIndex(where: { $0 === best }), 4 * count >= 3 * best.rows {
      idle.remove(at: index)
      best.cache.rewind(to: count)
      return best.cache
    }
    return KeyValueCache(copying: best.cache, rows: count, capacity: rows)
  }

  private func shared(_ kept: Kept, _ parts: [PromptPart]) -> Int {
    min(kept.parts.sharedRows(with: parts), kept.rows)
  }

  /// Bytes that are kept.
  public var byteCount: Int {
    pictures.reduce(0) { $0 + $1.features.byteCount } + idle.reduce(0) { $0 + $1.cache.byteCount }
  }

  private func shrink() {
    while byteCount > budget, !(idle.isEmpty && pictures.isEmpty) {
      // A picture is cheap to keep beside its rows.
      if idle.isEmpty { pictures.removeFirst() } else { idle.removeFirst() }
    }
  }
}

extension VisionLanguageModel.ImageFeatures {
  /// With what it may come to hold at full precision.
  var byteCount: Int {
    (exact == nil ? 1 : 2) * features.count * MemoryLayout<Float>.size + tiles.tiles.reduce(0) { $0 + $1.count }
  }
}
