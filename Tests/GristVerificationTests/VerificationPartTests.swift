import GristConversion
import GristCore
import GristKernels
import GristModel
import GristSources
import GristVerification
import TestSupport
import Testing

@Suite("Verifications in parts") struct VerificationPartTests {
  private let folder: TemporaryFolder
  private let compute: Compute
  private let model: Source
  private let record: ReferenceRecord

  init() throws {
    folder = try TemporaryFolder()
    compute = Compute(pool: try ThreadPool(threads: 2))
    let checkpoint = try Source.open(path: Fixtures.conformanceCheckpoint)
    let pictures = try ["flower_tiny.jpg", "china.jpg"].map {
      Question.Picture(name: $0, bytes: try readFile(Fixtures.conformanceImages + "/" + $0))
    }
    let questions = (0..<5).map { Question(pictures: $0 == 3 ? [] : [pictures[$0 % 2]], prompt: "Question \($0)?") }
    var recording = Recording.Options()
    recording.maxNewTokens = 3
    let made = try Recording(checkpoint, questions: questions, options: recording, compute: compute).run()
    record = try ReferenceRecord(made.encoded(), path: "record")
    var options = Conversion.Options()
    (options.recipe, options.calibration) = (.int4All, CalibrationMode.none)
    try Conversion(checkpoint, options: options, pool: compute.pool).run(
      to: AtomicFile(path: folder.file("m.grist"), kind: .grist))
    model = try Source.open(path: folder.file("m.grist"))
  }

  private func verification(_ part: QuestionPart? = nil, _ record: ReferenceRecord? = nil) -> Verification {
    var options = Verification.Options()
    options.part = part
    return Verification(model, against: .record(record ?? self.record), options: options, compute: compute)
  }

  /// All that a report says but when it was made.
  private func told(_ report: VerificationReport) -> [String] {
    [report.json.text(), report.html].map { $0.replacing(report.date, with: "") }
  }

  @Test("joined they give the report of one run, whatever the parts", arguments: [1, 2, 3, 5])
  func merged(_ count: Int) throws {
    let whole = try verification().run()
    let kept = try verification().run(folder: folder.file("whole"))
    #expect(told(kept) == told(whole))
    let parts = try (1...count).map { index in
      let path = folder.file("part\(index)")
      try verification(QuestionPart(index: index, count: count)).compare(folder: path)
      return path
    }
    #expect(try VerificationParts.merge(parts.reversed(), into: folder.file("joined")) == 5)
    for name in ["cases.jsonl"] {
      #expect(
        try readFile(folder.file("joined/" + name)).elementsEqual(readFile(folder.file("whole/" + name))))
    }
    #expect(told(try verification().run(folder: folder.file("joined"))) == told(whole))
  }

  @Test("one that was stopped goes on; another model's or record's folder is refused; so is a checkpoint")
  func resumed() throws {
    let whole = try verification().run(folder: folder.file("whole"))
    let lines = try readFile(folder.file("whole/cases.jsonl")).array
    try folder.write("cut/cases.jsonl", Array(lines.prefix(lines.count / 2)))
    #expect(told(try verification().run(folder: folder.file("cut"))) == told(whole))
    let fewer = ReferenceRecord(
      fingerprint: record.fingerprint, source: record.source, cases: Array(record.cases.dropLast()))
    let other = #expect(throws: GristError.self) {
      try verification(nil, fewer).compare(folder: folder.file("whole"))
    }
    #expect(other?.what.contains("another verification") == true)
    let checkpoint = try Source.open(path: Fixtures.conformanceCheckpoint)
    let error = #expect(throws: GristError.self) {
      try Verification(model, against: .model(checkpoint), compute: compute).run(folder: folder.file("x"))
    }
    #expect(error?.code == .usage)
  }
}
