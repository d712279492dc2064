import GristConversion
import GristCore
import GristKernels
import GristModel
import GristSources
import TestSupport
import Testing

@Suite("Guarded choices") struct GuardTests {
  /// The demo model, which really routes.
  private static let demo = Fixtures.path("../../Tools/DemoModel")
  private let folder: TemporaryFolder
  private let pool: ThreadPool

  init() throws {
    folder = try TemporaryFolder()
    pool = try ThreadPool(threads: 2)
  }

  private func convert(_ source: Source, to name: String, guardedBy questions: [Question]?) throws -> Conversion.Summary
  {
    var options = Conversion.Options()
    (options.recipe, options.calibration, options.guardedQuestions) = (.int4All, CalibrationMode.none, questions)
    return try Conversion(source, options: options, pool: pool)
      .run(to: AtomicFile(path: folder.file(name), kind: .grist))
  }

  /// Questions on which a file's router decides otherwise than the source's, by more than a tie.
  private func flips(_ source: Source, _ name: String, _ questions: [Question]) throws -> Int {
    let compute = Compute(pool: pool)
    let models = try [source, Source.open(path: folder.file(name))].map { try $0.model(compute: compute) }
    return try questions.filter { question in
      let decisions = try models.map { model in
        let picture = question.pictures[0]
        let image = try model.encode(model.picture(encoded: picture.bytes, name: picture.name))
        return try #require(model.prepare(question.conversation(clock: nil), image: image).decision)
      }
      return decisions[0].greatestMargin(against: decisions[1].granularity).map { $0 >= 0.02 } ?? false
    }.count
  }

  @Test("what the recipe flips holds, for no more bytes than it takes, and nothing else is left behind")
  func guarded() throws {
    let source = try Source.open(path: Self.demo + "/checkpoint")
    let questions = try Question.read(path: Self.demo + "/probes/probes.json")
    let plain = try convert(source, to: "plain.grist", guardedBy: nil)
    let flipped = try flips(source, "plain.grist", questions)
    #expect(plain.guarded == nil && flipped > 0)
    let summary = try convert(source, to: "guarded.grist", guardedBy: questions)
    let found = try #require(summary.guarded)
    #expect(found.questions == questions.count && found.flippedBefore == flipped)
    #expect(found.flippedAfter == 0 && !found.raised.isEmpty && found.trials > 1)
    #expect(try flips(source, "guarded.grist", questions) == 0)
    #expect(found.bytes > 0 && summary.plan.payloadBytes == plain.plan.payloadBytes + found.bytes)
    #expect(try folderContents(folder.path).sorted() == ["guarded.grist", "plain.grist"])
  }

  @Test("a recipe that flips nothing is left as it is")
  func nothing() throws {
    let source = try Source.open(path: Self.demo + "/checkpoint")
    var options = Conversion.Options()
    (options.recipe, options.calibration) = (.int4ExactChoices, CalibrationMode.none)
    options.guardedQuestions = Array(try Question.read(path: Self.demo + "/probes/probes.json").prefix(6))
    let found = try #require(
      Conversion(source, options: options, pool: pool).run(
        to: AtomicFile(path: folder.file("a.grist"), kind: .grist)
      ).guarded)
    #expect(found.changedBefore == 0 && found.raised.isEmpty && found.bytes == 0 && found.trials == 1)
  }

  @Test("what cannot be guarded is refused before the work")
  func refused() throws {
    let picture = Question.Picture(name: "a", bytes: try readFile(Fixtures.conformanceImages + "/flower_tiny.jpg"))
    let asked = [Question(pictures: [picture], prompt: "What?")]
    let bare = [Question(prompt: "What?")]
    for (path, questions, said) in [
      (Self.demo + "/checkpoint", bare, "no picture"), (Fixtures.path("huggingface/next-5"), asked, "no router"),
    ] {
      let source = try Source.open(path: path)
      let error = #expect(throws: GristError.self) { try convert(source, to: "x.grist", guardedBy: questions) }
      #expect(error?.code == .usage && error?.what.contains(said) == true, "\(String(describing: error))")
    }
    #expect(try folderContents(folder.path).isEmpty)
  }
}
