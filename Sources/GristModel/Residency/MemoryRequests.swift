import GristCore
import GristKernels

/// How long a prompt may become.
public struct PromptExtent: Sendable, Equatable {
  let pictures: Int
  /// Tiles of its pictures; 0 without one.
  public let tiles: Int
  /// Rows of the whole for each granularity that its tiles may be given; 0 for what needs no choice.
  private let rows: [Int: Int]

  /// - Parameters:
  ///   - pictures: how many.
  ///   - tiles: of the pictures.
  ///   - rows: of the whole prompt, for each granularity.
  init(pictures: Int, tiles: Int, rows: [Int: Int]) { (self.pictures, self.tiles, self.rows) = (pictures, tiles, rows) }

  /// A prompt that is known to become so many rows.
  public func known(rows: Int) -> PromptExtent { PromptExtent(pictures: pictures, tiles: tiles, rows: [0: rows]) }

  /// Rows of the prompt where a tile becomes `granularity` tokens.
  package func rows(granularity: Int) -> Int { rows[granularity] ?? rows[0] ?? rows.values.max() ?? 0 }
}

extension VisionLanguageModel {
  /// What answering prompts takes: whatever the router chooses first, then with less room, as it may choose less. One
  /// request where it is not asked.
  ///
  /// - Parameters:
  ///   - prompts: all that are to be answered; up to so many may go through the decoder together.
  ///   - newTokens: the longest answer.
  ///   - granularity: that is chosen already.
  public func memoryRequests(
    _ prompts: [PromptExtent], newTokens: Int, granularity: Granularity? = nil
  ) -> [MemoryRequest] {
    let tiles = prompts.map(\.tiles).max() ?? 0
    let asksRouter = granularity == nil && tiles > 0 && configuration.granularities.count > 1
    let grids =
      granularity.map { [$0.finest] } ?? (asksRouter ? configuration.granularities.sorted(by: >) : [])
    return (grids.isEmpty ? [configuration.patchesPerTile] : grids).map { grid in
      let rows = min(prompts.map { $0.rows(granularity: grid) }.max() ?? 0, configuration.maximumLength)
      return MemoryRequest(
        promptRows: rows, rows: min(rows + newTokens, configuration.maximumLength), sequences: prompts.count,
        tiles: tiles, asksRouter: asksRouter, seesMore: prompts.reduce(0) { $0 + $1.pictures } > 1)
    }
  }

  /// What answering whatever comes takes: several conversations of up to `context` rows each, about pictures of any
  /// size.
  public func memoryRequest(context: Int, sequences: Int) -> MemoryRequest {
    let rows = min(context, configuration.maximumLength)
    let tiles = configuration.vision?.mostTiles ?? 0
    return MemoryRequest(promptRows: rows, rows: rows, sequences: sequences, tiles: tiles, seesMore: tiles > 0)
  }

  /// Keeps no more freed memory, for the whole process, than a block of a prompt takes: for those who answer for days,
  /// whose prompts are of many sizes.
  ///
  /// - Throws: As ``memoryNeeds()`` does.
  package func boundScratch() throws {
    RecycledMemory.keep(atMost: try memoryNeeds().blockBytes(rows: LanguageModel.blockRows))
  }
}
