import GristCore
import GristKernels
import GristModel
import GristSources
import GristVerification
import TestSupport
import Testing

@Suite("Records in parts") struct RecordPartTests {
  private let source: Source
  private let compute: Compute
  private let questions: [Question]

  init() throws {
    source = try Source.open(path: Fixtures.conformanceCheckpoint)
    compute = Compute(pool: try ThreadPool(threads: 2))
    let picture = Question.Picture(
      name: "a.jpg", bytes: try readFile(Fixtures.conformanceImages + "/flower_tiny.jpg"))
    questions = (0..<5).map { Question(pictures: $0 % 2 == 0 ? [picture] : [], prompt: "Question \($0)?") }
  }

  private func record(_ part: String?, _ asked: [Question]? = nil) throws -> ReferenceRecord {
    var options = Recording.Options()
    options.maxNewTokens = 2
    options.part = try part.map { try #require(QuestionPart($0)) }
    return try Recording(source, questions: asked ?? questions, options: options, compute: compute).run()
  }

  @Test("joined they are the record of one run, byte for byte, whatever the parts", arguments: [1, 2, 3, 5, 7])
  func merged(count: Int) throws {
    let parts = try (1...count).map { index in
      let record = try record("\(index)/\(count)")
      // As it comes out of a file.
      return (record: try ReferenceRecord(record.encoded(), path: "part"), path: "part \(index)")
    }
    #expect(parts.map(\.record.cases.count).reduce(0, +) == 5)
    let joined = try ReferenceRecord.merged(parts.reversed())
    let whole = try record(nil).encoded().array
    #expect(try joined.part == nil && joined.encoded().array == whole)
  }

  @Test("what does not belong together is refused")
  func refused() throws {
    let (first, second) = try (record("1/2"), record("2/2"))
    func refusal(_ records: [ReferenceRecord]) -> String? {
      let error = #expect(throws: GristError.self) {
        try ReferenceRecord.merged(records.enumerated().map { (record: $1, path: "\($0)") })
      }
      return error?.what
    }
    #expect(refusal([first]) == "part 2/2 is missing")
    #expect(refusal([first, first, second]) == "part 1/2 comes twice")
    #expect(refusal([first, try record("2/3")])?.contains("number of parts") == true)
    #expect(refusal([first, try record("2/2", Array(questions.dropLast()))])?.contains("questions") == true)
    #expect(refusal([first, try record(nil)])?.contains("no part") == true)
  }

  @Test(
    "what is a part",
    arguments: [
      ("1/1", true), ("4/4", true), ("0/4", false), ("5/4", false), ("a/b", false), ("1", false), ("1/2/3", false),
      ("/", false), ("1/0", false),
    ])
  func parts(text: String, isPart: Bool) { #expect((QuestionPart(text) != nil) == isPart) }
}
