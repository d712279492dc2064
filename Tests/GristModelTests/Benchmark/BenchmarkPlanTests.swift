import GristCore
import GristModel
import Testing

@Suite("What is measured") struct BenchmarkPlanTests {
  @Test("the defaults, as far as the model takes them")
  func defaults() throws {
    let all = try BenchmarkPlan(maximumLength: 4096)
    #expect(all.prefillRows == [512, 2900] && all.depths == [0, 512, 2900])
    #expect(all.decodeTokens == 16 && all.repetitions == 1)
    let short = try BenchmarkPlan(maximumLength: 1000)
    #expect(short.prefillRows == [512] && short.depths == [0, 512])
  }

  @Test("lists are sorted, without repetition, and may be empty")
  func lists() throws {
    let plan = try BenchmarkPlan(prefillRows: [64, 8, 64], depths: [], maximumLength: 64)
    #expect(plan.prefillRows == [8, 64] && plan.depths == [])
  }

  @Test("one prompt serves prefill and depth; depth 0 is a prompt of one row of its own")
  func sessions() throws {
    let plan = try BenchmarkPlan(prefillRows: [1, 64, 128], depths: [0, 64, 96], maximumLength: 128)
    #expect(
      plan.sessions == [
        .init(rows: 1, timesPrefill: false, depth: 0), .init(rows: 1, timesPrefill: true, depth: nil),
        .init(rows: 64, timesPrefill: true, depth: 64), .init(rows: 96, timesPrefill: false, depth: 96),
        .init(rows: 128, timesPrefill: true, depth: nil),
      ])
  }

  @Test(
    "what makes no sense is refused",
    arguments: [
      ([0], [0], 1, 1), ([65], [0], 1, 1), ([1], [-1], 1, 1), ([1], [65], 1, 1),
      ([1], [0], 0, 1), ([1], [0], 1, 0),
    ])
  func refused(prefill: [Int], depths: [Int], tokens: Int, repetitions: Int) throws {
    let error = #expect(throws: GristError.self) {
      try BenchmarkPlan(
        prefillRows: prefill, depths: depths, decodeTokens: tokens, repetitions: repetitions, maximumLength: 64)
    }
    #expect(error?.code == .usage)
  }

  @Test("the median")
  func medians() {
    #expect(median([]) == 0)
    #expect(median([3]) == 3)
    #expect(median([4, 1]) == 2.5)
    #expect(median([9, 1, 2]) == 2)
  }
}
