import GristCore

/// What is asked of a model that is to run within a budget.
public struct MemoryRequest: Sendable, Equatable {
  /// Rows of the longest prompt, and of prompt and answer together.
  public var promptRows: Int
  public var rows: Int
  /// Sequences that may go through the decoder together; fewer where the budget asks for it.
  public var sequences: Int
  /// Tiles of the largest picture; 0 where none is looked at.
  public var tiles: Int
  /// Whether the router is asked.
  public var asksRouter: Bool
  /// Whether there are more pictures after the first answer.
  public var seesMore: Bool

  public init(
    promptRows: Int, rows: Int, sequences: Int = 1, tiles: Int = 0, asksRouter: Bool = true, seesMore: Bool = false
  ) {
    (self.promptRows, self.rows, self.sequences) = (promptRows, max(rows, promptRows), max(sequences, 1))
    (self.tiles, self.asksRouter, self.seesMore) = (tiles, asksRouter, seesMore)
  }
}

/// How a model is run within a budget: what stays in memory, and what is read again for every pass.
///
/// A pass uses every weight once, in the same order. Of such a scan a cache that drops what was used longest ago keeps
/// nothing, so a fixed part stays and the rest streams through a ring.
public struct MemoryPlan: Sendable, Equatable {
  /// What all of it is to fit in.
  public let budget: Int
  /// The decoder's first layers, which stay.
  public let pinnedLayers: Int
  public let layers: Int
  /// Whether the head stays.
  public let pinsHead: Bool
  /// Bytes of what stays: layers and head.
  public let pinnedBytes: Int
  /// The ring that the rest streams through; 0 where nothing does.
  public let ringBytes: Int
  /// Bytes of the file that each pass reads.
  public let streamedBytes: Int
  /// Whether tower, projector and router stay after a picture was looked at.
  public let keepsVision: Bool
  /// Sequences that go through the decoder together, if they are as long as they may be.
  public let sequences: Int
  /// Rows of prompt and answer that there is room for, of all sequences that go through together.
  public let rows: Int
  /// Keys and values of all of them, at the length that was asked for.
  public let cacheBytes: Int
  /// Intermediate results.
  public let scratchBytes: Int
  /// The most that is in use at any time.
  public let peakBytes: Int
  /// The smallest budget that the request could be run in.
  public let leastBudget: Int

  /// Whether anything is read again.
  public var streams: Bool { streamedBytes > 0 }

  /// Bytes of freed matrices that are kept for the next ones of their size.
  static let keptScratchBytes = 64 << 20

  /// A plan for the first of some requests that fits.
  ///
  /// - Throws: As for the last.
  public init(_ needs: MemoryNeeds, _ requests: [MemoryRequest], budget: Int) throws {
    for request in requests.dropLast() {
      if let plan = try? MemoryPlan(needs, request, budget: budget) {
        self = plan
        return
      }
    }
    try self.init(needs, requests.last ?? MemoryRequest(promptRows: 1, rows: 1), budget: budget)
  }

  /// - Parameters:
  ///   - needs: what the model takes.
  ///   - request: what is asked of it.
  ///   - budget: bytes.
  ///
  /// - Throws: 64 with the smallest budget that works, and the longest context that this one would do for.
  public init(_ needs: MemoryNeeds, _ request: MemoryRequest, budget: Int) throws {
    let least = Layout(needs, request, sequences: 1).peak
    guard least <= budget else { throw Self.refusal(needs, request, budget: budget, least: least) }
    var sequences = 1
    while sequences < request.sequences, Layout(needs, request, sequences: sequences + 1).peak <= budget {
      sequences += 1
    }
    var best = Layout(needs, request, sequences: sequences)
    for pinsHead in [false, true] {
      for layers in 0...needs.layers.count {
        let layout = Layout(needs, request, sequences: sequences, pinnedLayers: layers, pinsHead: pinsHead)
        if layout.peak <= budget, layout.streamedBytes < best.streamedBytes { best = layout }
      }
    }
    var keeping = best
    keeping.keepsVision = true
    let keepsVision = request.seesMore && needs.visionBytes > 0 && keeping.peak <= budget
    if keepsVision { best = keeping }

    self.init(best, needs, request, budget: budget, sequences: sequences, least: least)
  }

  /// A plan that keeps what it is told to and streams the rest, within just what that takes.
  package init(_ needs: MemoryNeeds, _ request: MemoryRequest, pinnedLayers: Int, pinsHead: Bool) {
    let layout = Layout(needs, request, sequences: 1, pinnedLayers: pinnedLayers, pinsHead: pinsHead)
    let least = Layout(needs, request, sequences: 1).peak
    self.init(layout, needs, request, budget: layout.peak, sequences: 1, least: least)
  }

  private init(
    _ layout: Layout, _ needs: MemoryNeeds, _ request: MemoryRequest, budget: Int, sequences: Int, least: Int
  ) {
    rows = sequences * request.rows
    self.budget = budget
    self.sequences = sequences
    keepsVision = layout.keepsVision
    pinnedLayers = layout.pinnedLayers
    layers = needs.layers.count
    pinsHead = layout.pinsHead
    pinnedBytes = layout.pinnedBytes
    ringBytes = layout.ringBytes
    streamedBytes = layout.streamedBytes
    cacheBytes = layout.cacheBytes
    scratchBytes = layout.scratchBytes
    peakBytes = layout.peak
    leastBudget = least
  }

  /// - Throws: 64 when a prompt of so many rows and its answer have no room: the router chose more than there was.
  public func requireRoom(rows: Int, file: String) throws {
    guard rows > self.rows else { return }
    throw GristError(
      .usage, "the memory budget is too small for what the router chose", file: file,
      found: "\(rows) rows of prompt and answer, where \(self.rows) have room",
      advice: "give more memory, or ask for a coarser --granularity")
  }

  private static func refusal(
    _ needs: MemoryNeeds, _ request: MemoryRequest, budget: Int, least: Int
  ) -> GristError {
    var (low, high) = (0, request.rows)
    while low < high {
      let middle = (low + high + 1) / 2
      var shorter = request
      (shorter.rows, shorter.promptRows) = (middle, min(request.promptRows, middle))
      if Layout(needs, shorter, sequences: 1).peak <= budget { low = middle } else { high = middle - 1 }
    }
    let cache = needs.cacheBytesPerRow * request.rows
    return GristError(
      .usage, "the memory budget is too small: this takes at least \(NumberText.mebibytes(least))",
      found: "\(NumberText.mebibytes(budget)), of which keys and values of \(request.rows) rows take "
        + NumberText.mebibytes(cache),
      advice: low > 0
        ? "give that much, or ask for less: \(low) rows of prompt and answer would fit" : "give that much")
  }
}

/// One way to share memory out.
private struct Layout {
  private let needs: MemoryNeeds
  private let request: MemoryRequest
  private let sequences: Int
  let pinnedLayers: Int
  let pinsHead: Bool
  var keepsVision = false

  init(
    _ needs: MemoryNeeds, _ request: MemoryRequest, sequences: Int, pinnedLayers: Int = 0, pinsHead: Bool = false
  ) {
    (self.needs, self.request, self.sequences) = (needs, request, sequences)
    (self.pinnedLayers, self.pinsHead) = (pinnedLayers, pinsHead)
  }

  var pinnedBytes: Int {
    needs.layers.prefix(pinnedLayers).reduce(0) { $0 + $1.bytes } + (pinsHead ? needs.head.bytes : 0)
  }

  var streamedBytes: Int {
    needs.layers.dropFirst(pinnedLayers).reduce(0) { $0 + $1.storedBytes } + (pinsHead ? 0 : needs.head.storedBytes)
  }

  /// A layer's matrices are held together, and two tensors are read ahead; a head is held alone.
  var ringBytes: Int {
    let layers = needs.layers.dropFirst(pinnedLayers)
    let forLayers = layers.reduce(0) { max($0, $1.bytes + 2 * $1.largestBytes) }
    return max(forLayers, pinsHead ? 0 : needs.head.bytes)
  }

  var cacheBytes: Int { sequences * request.rows * needs.cacheBytesPerRow }

  /// Prompts as they were put together, and as they go through the layers; a block of one inside a layer.
  var scratchBytes: Int {
    2 * sequences * request.promptRows * needs.rowBytes
      + needs.blockBytes(rows: min(request.promptRows, LanguageModel.blockRows)) + MemoryPlan.keptScratchBytes
  }

  /// Pictures are looked at before the decoder begins; where more follow, beside what the decoder keeps.
  var peak: Int {
    let fixed = needs.programBytes + needs.tableBytes
    let decoding = pinnedBytes + ringBytes
    let language = decoding + cacheBytes + scratchBytes + (keepsVision ? needs.visionBytes : 0)
    guard request.tiles > 0 else { return fixed + language }
    let seeing =
      (keepsVision ? needs.visionBytes : needs.visionStepBytes(asksRouter: request.asksRouter))
      + needs.pictureBytes(tiles: request.tiles, asksRouter: request.asksRouter) + MemoryPlan.keptScratchBytes
      + (request.seesMore ? decoding : 0) + (sequences - 1) * request.promptRows * needs.rowBytes
    return fixed + max(language, seeing)
  }
}
