import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources
import GristVerification
import TestSupport
import Testing

@Suite("Recording and verifying within a budget") struct BudgetTests {
  private let pool: ThreadPool
  private let folder: TemporaryFolder
  private let checkpoint: Source

  init() throws {
    pool = try ThreadPool(threads: 2)
    folder = try TemporaryFolder()
    checkpoint = try Source.open(path: Fixtures.conformanceCheckpoint)
  }

  private var exact: Compute { Compute(pool: pool, activations: .f32) }

  private func record(_ questions: [Question], _ budget: MemoryBudget?) throws -> ReferenceRecord {
    var options = Recording.Options()
    options.maxNewTokens = 6
    options.memoryBudget = budget
    return try Recording(checkpoint, questions: questions, options: options, compute: exact).run()
  }

  private func model(_ packing: Packing) throws -> Source {
    let path = folder.file("\(packing.rawValue).grist")
    var options = Conversion.Options()
    options.recipe = .int4All
    options.packing = packing
    options.calibration = CalibrationMode.none
    try Conversion(checkpoint, options: options, pool: pool).run(to: AtomicFile(path: path, kind: .grist))
    return try Source.open(path: path)
  }

  /// The smallest budget that questions can be asked in.
  private func least(_ questions: [Question]) throws -> Int {
    var options = Recording.Options()
    options.maxNewTokens = 6
    options.memoryBudget = .bytes(1 << 40)
    let plan = try Recording(checkpoint, questions: questions, options: options, compute: exact).memoryPlan()
    return try #require(plan).leastBudget
  }

  @Test("a record is the same, byte for byte, with questions one by one and together")
  func recording() throws {
    let questions =
      try VerificationTests.probes() + [
        Question(prompt: "Good morning!", answer: "Good morning to you, and to all.")
      ]
    let expected = try record(questions, nil).encoded()
    #expect(try record(questions, .bytes(8 << 30)).encoded().elementsEqual(expected))
    #expect(try record(questions, .bytes(least(questions))).encoded().elementsEqual(expected))
    let error = #expect(throws: GristError.self) { try record(questions, .bytes(1 << 20)) }
    #expect(error?.code == .usage && error?.file == Fixtures.conformanceCheckpoint)
  }

  @Test("a report is the same within a budget, against a record and against a checkpoint", arguments: Packing.allCases)
  func verification(packing: Packing) throws {
    let questions = try VerificationTests.probes()
    let model = try model(packing)
    let record = try record(questions, nil)
    for reference in [Reference.record(record), .model(checkpoint)] {
      func report(_ budget: MemoryBudget?) throws -> JSONValue {
        var options = Verification.Options()
        options.maxNewTokens = 6
        options.attributesParts = if case .model = reference { true } else { false }
        options.memoryBudget = budget
        let verification = Verification(
          model, against: reference, questions: questions, options: options,
          compute: Compute(pool: pool, activations: .int8))
        #expect(try (verification.memoryPlans() != nil) == (budget != nil))
        guard case .object(let object) = try verification.run().json else { return .null }
        return .array(object.members.filter { $0.name != "date" }.map { [JSONValue($0.name), $0.value] })
      }
      #expect(try report(nil) == report(.bytes(8 << 30)))
      #expect(try report(nil) == report(.bytes(least(questions))))
    }
  }
}
