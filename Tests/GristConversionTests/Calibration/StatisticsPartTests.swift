import GristConversion
import GristCore
import GristKernels
import GristModel
import GristSources
import TestSupport
import Testing

@Suite("Statistics in parts") struct StatisticsPartTests {
  private let source: Source
  private let pool: ThreadPool
  private let calibration: Calibration

  init() throws {
    source = try Source.open(path: Fixtures.conformanceCheckpoint)
    pool = try ThreadPool(threads: 2)
    let picture = try readFile(Fixtures.conformanceImages + "/flower_tiny.jpg")
    // More samples than runs, fewer with pictures than that, and an answer that the model gives itself.
    calibration = Calibration(
      samples: (0..<19).map {
        Calibration.Sample(
          picture: $0 % 7 == 2 ? picture : nil, question: "Question \($0)?", answer: $0 == 5 ? nil : "It is \($0).")
      }, name: "nineteen questions")
  }

  private func gathered(_ part: String? = nil, _ calibration: Calibration? = nil) throws -> InputStatistics {
    let part = try part.map { try #require(QuestionPart($0)) }
    let statistics = try (calibration ?? self.calibration).gather(source, pool: pool, part: part)
    // As it comes out of a file.
    let folder = try TemporaryFolder()
    try folder.write("s", statistics.encoded().array)
    return try InputStatistics(path: folder.file("s"))
  }

  @Test("joined they are what one run gives, byte for byte, whatever the parts", arguments: [1, 2, 3, 5, 16])
  func merged(_ count: Int) throws {
    let parts = try (1...count).map { (statistics: try gathered("\($0)/\(count)"), path: "part \($0)") }
    let joined = try InputStatistics.merged(parts.reversed())
    let whole = try gathered()
    #expect(try joined.encoded().elementsEqual(whole.encoded()))
    #expect(joined.tokens == whole.tokens && joined.part == nil)
  }

  @Test("fewer samples than runs; how many rows go through together does not matter")
  func few() throws {
    let few = Calibration(samples: Array(calibration.samples.prefix(3)), name: "three questions")
    let parts = try (1...2).map { (statistics: try gathered("\($0)/2", few), path: "part \($0)") }
    #expect(try InputStatistics.merged(parts).encoded().elementsEqual(gathered(nil, few).encoded()))
    let memory = try few.memory(source, budget: .bytes(1 << 40), compute: Compute(pool: pool, activations: .f32))
    #expect(try few.gather(source, pool: pool, memory: memory).encoded().elementsEqual(gathered(nil, few).encoded()))
  }

  @Test("what does not belong together, or is not all there, is refused; so is converting with a part")
  func refused() throws {
    let (first, second) = (try gathered("1/2"), try gathered("2/2"))
    func refusal(_ parts: [InputStatistics]) -> String? {
      (#expect(throws: GristError.self) {
        try InputStatistics.merged(parts.enumerated().map { (statistics: $1, path: "\($0)") })
      })?.what
    }
    #expect(refusal([first])?.contains("2/2 is missing") == true)
    #expect(refusal([first, first])?.contains("twice") == true)
    #expect(refusal([try gathered()])?.contains("no part") == true)
    let others = Calibration(samples: Array(calibration.samples.dropLast()), name: calibration.name)
    #expect(refusal([first, try gathered("2/2", others)])?.contains("do not belong together") == true)
    let many = #expect(throws: GristError.self) { try gathered("1/17") }
    #expect(many?.code == .usage)
    let folder = try TemporaryFolder()
    try folder.write("s", second.encoded().array)
    let error = #expect(throws: GristError.self) { try StatisticsFile(path: folder.file("s")) }
    #expect(error?.advice?.contains("merge") == true)
  }
}
