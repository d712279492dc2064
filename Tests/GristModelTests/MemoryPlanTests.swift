import GristCore
import GristModel
import Testing

@Suite("Plans of memory") struct MemoryPlanTests {
  private static let mebibyte = 1 << 20

  /// Ten layers of 100 MiB in memory and 80 in the file, a head of 60, a tower of 200.
  private static let needs = MemoryNeeds(
    programBytes: 50 * mebibyte, tableBytes: 4 * mebibyte,
    layers: Array(
      repeating: .init(bytes: 100 * mebibyte, storedBytes: 80 * mebibyte, largestBytes: 20 * mebibyte), count: 10),
    head: .init(bytes: 60 * mebibyte, storedBytes: 60 * mebibyte, largestBytes: 60 * mebibyte),
    towerBytes: 200 * mebibyte, towerStepBytes: 20 * mebibyte, projectorBytes: 30 * mebibyte,
    routerBytes: 40 * mebibyte,
    cacheBytesPerRow: 100_000, width: 1000, innerWidth: 3000, patches: 100, towerWidth: 500, towerInnerWidth: 2000)
  private static let request = MemoryRequest(promptRows: 100, rows: 200)

  private static let least = least(request)

  private static func least(_ request: MemoryRequest) -> Int {
    MemoryPlan(needs, request, pinnedLayers: 0, pinsHead: false).leastBudget
  }

  struct Row: CustomTestStringConvertible, Sendable {
    let extra: Int
    let layers: Int
    let head: Bool
    let streamed: Int
    var testDescription: String { "\(extra) MiB more than the least" }
  }

  /// The ring takes a layer and two tensors, 140 MiB, until all layers are kept; then the head's 60.
  @Test(
    "what stays is as much as fits, and what streams is the rest",
    arguments: [
      Row(extra: 0, layers: 0, head: false, streamed: 860), Row(extra: 59, layers: 0, head: false, streamed: 860),
      Row(extra: 60, layers: 0, head: true, streamed: 800), Row(extra: 100, layers: 1, head: false, streamed: 780),
      Row(extra: 160, layers: 1, head: true, streamed: 720), Row(extra: 859, layers: 8, head: false, streamed: 220),
      Row(extra: 860, layers: 8, head: true, streamed: 160), Row(extra: 919, layers: 9, head: false, streamed: 140),
      // The last layer frees its ring.
      Row(extra: 920, layers: 10, head: true, streamed: 0), Row(extra: 99_999, layers: 10, head: true, streamed: 0),
    ])
  func table(row: Row) throws {
    let budget = Self.least + row.extra * Self.mebibyte
    let plan = try MemoryPlan(Self.needs, Self.request, budget: budget)
    #expect(plan.pinnedLayers == row.layers && plan.pinsHead == row.head)
    #expect(plan.streamedBytes == row.streamed * Self.mebibyte && plan.streams == (row.streamed > 0))
    #expect(plan.peakBytes <= budget && plan.leastBudget == Self.least && plan.layers == 10)
    #expect(plan.ringBytes == (row.layers < 10 ? 140 : row.head ? 0 : 60) * Self.mebibyte)
  }

  @Test("more of anything that is asked for takes more, and never more than the budget")
  func grows() throws {
    var longer = Self.request
    longer.rows = 1200
    #expect(Self.least(longer) - Self.least == 1000 * 100_000)
    var prompt = Self.request
    prompt.promptRows = 200
    #expect(Self.least(prompt) > Self.least)
    var picture = Self.request
    picture.tiles = 5
    #expect(Self.least(picture) > Self.least)
    for step in 0..<200 {
      var request = picture
      request.seesMore = step % 2 == 0
      request.sequences = 1 + step % 7
      let budget = Self.least(request) + step * 8 * Self.mebibyte
      let plan = try MemoryPlan(Self.needs, request, budget: budget)
      #expect(plan.peakBytes <= budget && (1...request.sequences).contains(plan.sequences))
      #expect(request.seesMore || !plan.keepsVision)
    }
  }

  @Test("a tower stays where more pictures follow and there is room beside the layers")
  func vision() throws {
    var request = Self.request
    (request.tiles, request.seesMore) = (5, true)
    #expect(try MemoryPlan(Self.needs, request, budget: 1 << 34).keepsVision)
    #expect(try !MemoryPlan(Self.needs, request, budget: Self.least(request)).keepsVision)
    request.seesMore = false
    #expect(try !MemoryPlan(Self.needs, request, budget: 1 << 34).keepsVision)
  }

  @Test("a budget that is too small is refused with the smallest that works and the longest context that fits")
  func refused() throws {
    let error = try #require(throws: GristError.self) {
      try MemoryPlan(Self.needs, Self.request, budget: Self.least - 1)
    }
    #expect(error.code == .usage && error.description.contains(NumberText.mebibytes(Self.least)))
    #expect(error.description.contains("199 rows of prompt and answer would fit"))
    let tiny = try #require(throws: GristError.self) {
      try MemoryPlan(Self.needs, Self.request, budget: Self.mebibyte)
    }
    #expect(!tiny.description.contains("would fit"))
  }

  @Test(
    "sizes have units",
    arguments: [
      ("2GiB", 2 << 30), ("1.5G", 3 << 29), ("1500MB", 1_500_000_000), ("700m", 700 << 20), ("12345", 12_345),
      ("3kib", 3072), ("8 GiB", nil), ("", nil), ("-1G", nil), ("1e3", nil), ("0", nil), ("99999999999G", nil),
      ("GiB", nil),
    ] as [(String, Int?)])
  func sizes(text: String, bytes: Int?) { #expect(MemoryBudget(text) == bytes.map { .bytes($0) }) }

  @Test("auto leaves a margin") func automatic() throws {
    #expect(MemoryBudget("auto") == .automatic)
    let available = try AvailableMemory().byteCount
    let budget = try MemoryBudget.automatic.byteCount()
    #expect(budget < available + available / 8 && budget > 0)
  }
}
