import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources
import GristVerification
import TestSupport
import Testing

/// Choices of a file with exact ones, tried in int8 first. On a CPU without the kernels for that, that it says so.
@Suite("Choices by their margin") struct ChoiceBoundTests {
  let folder: TemporaryFolder
  let pool: ThreadPool
  let reference: Source
  let path: String

  init() throws {
    folder = try TemporaryFolder()
    pool = try ThreadPool(threads: 2)
    reference = try Source.open(path: Fixtures.conformanceCheckpoint)
    path = try converted(
      Fixtures.conformanceCheckpoint, .int4ExactChoices, to: folder.file("exact.grist"), packing: .raw, pool: pool)
  }

  private var isOffered: Bool { Compute(pool: pool).roundingPlainWeights != nil }

  private func record() throws -> ReferenceRecord {
    var options = Recording.Options()
    options.maxNewTokens = 1
    return try Recording(
      reference, questions: VerificationTests.probes(), options: options, compute: Compute(pool: pool)
    ).run()
  }

  private func embed(_ record: ReferenceRecord) throws -> Source {
    try EmbeddingTarget(path: path, fingerprint: reference.fingerprint()).embed(record.encoded())
    return try Source.open(path: path)
  }

  @Test("the record says how far scores in int8 are off, and so above which margin they hold") func bound() throws {
    let record = try record()
    let spreads = record.cases.filter { $0.decision != nil }.map { $0.int8Choice?.spread }
    guard isOffered else {
      #expect(spreads.allSatisfy { $0 == nil })
      #expect(throws: GristError.self) { try ChoiceBound(of: embed(record)) }
      return
    }
    #expect(!spreads.isEmpty && spreads.allSatisfy { $0.map { $0 > 0 && $0 < 0.5 } == true })
    #expect(try ReferenceRecord(record.encoded(), path: "").cases.map(\.int8Choice) == record.cases.map(\.int8Choice))
    let bound = try ChoiceBound(of: embed(record))
    #expect(bound == ChoiceBound(record.cases))
    #expect(bound.margin == spreads.compactMap { $0 }.max() && bound.questions == spreads.count)
    #expect(bound.confidence == Double(bound.questions) / Double(bound.questions + 1))
  }

  @Test("what the record of another CPU or of none says is no bound") func noBound() throws {
    var cases = try record().cases
    #expect(ChoiceBound([]) == nil)
    let index = try #require(cases.firstIndex { $0.decision != nil })
    cases[index].int8Choice = .init(kernels: "another", spread: 0.1)
    #expect(ChoiceBound(cases) == nil)
    cases[index].int8Choice = nil
    #expect(ChoiceBound(cases) == nil)

    let bare = #expect(throws: GristError.self) { try ChoiceBound(of: Source.open(path: path)) }
    #expect(bare?.code == .usage && bare?.description.contains("has no record inside") == true)
    let rounded = try converted(
      Fixtures.conformanceCheckpoint, .int8, to: folder.file("int8.grist"), packing: .raw, pool: pool)
    let refused = #expect(throws: GristError.self) { try ChoiceBound(of: Source.open(path: rounded)) }
    #expect(refused?.code == .usage && refused?.description.contains("only a file whose choices are exact") == true)
  }

  /// What `path` makes of the first question with a picture.
  private func prepared(_ compute: Compute) throws -> VisionLanguageModel.PreparedPrompt {
    let question = try #require(try VerificationTests.probes().first { !$0.pictures.isEmpty })
    let model = try Source.open(path: path).model(compute: compute)
    let picture = try #require(question.pictures.first)
    let features = try model.encode(model.picture(encoded: picture.bytes, name: picture.name))
    return try model.prepare(question.conversation(clock: nil), image: features)
  }

  @Test("a margin that is too small has the router asked again, to the last bit as if it had been asked at once")
  func askedTwice() throws {
    guard let never = Compute(pool: pool).tryingChoices(above: -1),
      let always = Compute(pool: pool).tryingChoices(above: .infinity)
    else { return #expect(!isOffered) }
    func rows(_ prompt: VisionLanguageModel.PreparedPrompt) -> [[Float]] { (0..<prompt.rows.rows).map(prompt.rows.row) }
    let exact = try prepared(Compute(pool: pool))
    let again = try prepared(always)
    #expect(exact.isAskedTwice == nil && again.isAskedTwice == true)
    #expect(again.decision == exact.decision && rows(again) == rows(exact))

    let tried = try prepared(never)
    #expect(tried.isAskedTwice == false)
    let (found, decision) = (try #require(tried.decision), try #require(exact.decision))
    // Which words it looks at hangs by the whole picture, which is exact.
    #expect(found.filterOrder == decision.filterOrder && found.scores != decision.scores)
    let spread = try #require(found.spread(from: decision))
    #expect(spread > 0 && spread < 0.5, "\(spread)")
  }

  @Test("the spread is the greatest change of a distance between two scores") func spread() {
    func decision(_ scores: [Float]) -> RouterDecision {
      RouterDecision([RouterChoice(.picture, options: [1, 2, 4], scores: scores)])
    }
    #expect(decision([1, 2, 3]).spread(from: decision([1.5, 2.5, 3.5])) == 0)
    #expect(decision([1, 2, 3]).spread(from: decision([1.5, 2, 2])) == 1.5)
    let ruled = RouterDecision([RouterChoice(.picture, options: [1, 2, 4], scores: [1, 2, 3], index: 2, margin: 0.5)])
    #expect(ruled.spread(from: decision([1, 2, 3])) == nil && decision([1, 2, 3]).spread(from: ruled) == nil)
    #expect(decision([1, .nan, 3]).spread(from: decision([1, 2, 3])) == nil)
    #expect(
      decision([1, 2, 3]).spread(from: RouterDecision([RouterChoice(.picture, options: [1, 2], scores: [1, 2])])) == nil
    )
  }
}
