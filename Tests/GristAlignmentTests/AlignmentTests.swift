import GristAlignment
import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources
import GristVerification
import TestSupport
import Testing

@Suite("Aligning a router") struct AlignmentTests {
  private let folder: TemporaryFolder
  private let compute: Compute
  private let source: Source

  init() throws {
    folder = try TemporaryFolder()
    compute = Compute(pool: try ThreadPool(threads: 2))
    let checkpoint = try Source.open(path: Fixtures.conformanceCheckpoint)
    var options = Conversion.Options()
    (options.recipe, options.calibration) = (.int8, CalibrationMode.none)
    try Conversion(checkpoint, options: options, pool: compute.pool).run(
      to: AtomicFile(path: folder.file("model.grist"), kind: .grist))
    source = try Source.open(path: folder.file("model.grist"))
  }

  private static let lines = ["flower_tiny.jpg", "flower_panorama.jpg", "flower_tiny.jpg", "flower_tiny.jpg"]
    .enumerated()
    .map { #"{"question_id": \#($0), "image": "\#($1)", "text": "What is it, \#($0)?", "answer": "a thing"}"# }

  private func questions(teacher: TaughtQuestion.Teacher? = nil) throws -> [TaughtQuestion] {
    let path = try folder.write("q.jsonl", Array(Self.lines.joined(separator: "\n").utf8))
    return try TaughtQuestion.read(path: path, images: Fixtures.conformanceImages, teacher: teacher).questions
  }

  private func options(_ change: (inout RouterAlignment.Options) -> Void = { _ in }) -> RouterAlignment.Options {
    var options = RouterAlignment.Options()
    (options.training.epochs, options.training.batch, options.maxNewTokens) = (2, 1, 3)
    change(&options)
    return options
  }

  private func aligned(_ name: String, _ options: RouterAlignment.Options? = nil) throws -> AlignmentReport {
    try RouterAlignment(source, questions: questions(), options: options ?? self.options(), compute: compute).run(
      folder: folder.file(name + ".feedback"), to: AtomicFile(path: folder.file(name), kind: .grist))
  }

  @Test("losses are those of the answer behind a prompt at each granularity; what is kept is the same in parts")
  func feedback() throws {
    let asked = try questions()
    func gather(_ name: String, _ part: QuestionPart?) throws -> String {
      try RouterAlignment(source, questions: asked, options: options { $0.part = part }, compute: compute)
        .gather(folder: folder.file(name))
      return folder.file(name)
    }
    let whole = try gather("whole", nil)
    let model = try source.model(compute: compute)
    let lines = try JSONLines.wholeLines(path: whole + "/feedback.jsonl").dropFirst()
    #expect(lines.count == 4)
    for (index, line) in lines.enumerated() {
      let json = try JSONLines.reader(line, path: whole, number: index + 2)
      let picture = asked[index].question.pictures[0]
      let image = try model.encode(model.picture(encoded: picture.bytes, name: picture.name))
      let losses = try json.array("losses").compactMap(\.double)
      let decision = try model.prepare(asked[index].question.conversation(clock: nil), image: image).decision
      #expect(try json.integer("choice", in: 0...4) == decision?.wholePicture?.index)
      for (granularity, loss) in zip(model.configuration.granularities, losses) {
        let prompt = try model.prepare(
          asked[index].question.conversation(clock: nil), image: image, granularity: .uniform(granularity))
        let tokens = try model.tokenizer.encode("a thing") + [try #require(model.tokenizer.end)]
        let session = try model.start(prompt, newTokens: tokens.count)
        var sum = 0.0
        for token in tokens {
          let greatest = session.logits.map(Double.init).max() ?? 0
          let mass = session.logits.reduce(0.0) { $0 + .exp(Double($1) - greatest) }
          sum -= Double(session.logits[token]) - greatest - .log(mass)
          try session.advance(token)
        }
        #expect(abs(sum / Double(tokens.count) - loss) < 1e-6)
      }
    }
    for count in [2, 3] {
      let parts = try (1...count).map { try gather("part\(count).\($0)", QuestionPart(index: $0, count: count)) }
      let joined = folder.file("joined\(count)")
      #expect(try FeedbackParts.merge(parts.reversed(), into: joined) == 4)
      for name in ["feedback.jsonl", "features.bf16"] {
        #expect(try readFile(joined + "/" + name).elementsEqual(readFile(whole + "/" + name)))
      }
    }
    // Within a budget each prompt goes through by itself, and gives the same.
    try RouterAlignment(
      source, questions: asked, options: options { $0.memoryBudget = .bytes(1 << 40) }, compute: compute
    ).gather(folder: folder.file("budget"))
    #expect(
      try readFile(folder.file("budget/feedback.jsonl")).elementsEqual(readFile(whole + "/feedback.jsonl")))
    let twice = #expect(throws: GristError.self) {
      try FeedbackParts.merge([whole, folder.file("part2.1")], into: folder.file("twice"))
    }
    #expect(twice?.code == .badData)
    let other = #expect(throws: GristError.self) {
      try RouterAlignment(
        source, questions: asked, options: options { $0.measure = .divergence }, compute: compute
      ).gather(folder: whole)
    }
    #expect(other?.what.contains("another feedback") == true)
  }

  @Test("feedback that was stopped goes on, also behind a line that was cut; features that were damaged are told")
  func resumed() throws {
    let asked = try questions()
    let alignment = try RouterAlignment(source, questions: asked, options: options(), compute: compute)
    let (whole, cut) = (folder.file("whole"), folder.file("cut"))
    try alignment.gather(folder: whole)
    try createFolder(cut)
    let lines = try readFile(whole + "/feedback.jsonl").array
    let features = try readFile(whole + "/features.bf16").array
    try folder.write("cut/feedback.jsonl", Array(lines.prefix(lines.count - 40)))
    // Features may be written whose line never was.
    try folder.write("cut/features.bf16", features + [1, 2, 3])
    try alignment.gather(folder: cut)
    for name in ["feedback.jsonl", "features.bf16"] {
      #expect(try readFile(cut + "/" + name).elementsEqual(readFile(whole + "/" + name)))
    }
    var damaged = features
    damaged[features.count / 2] ^= 64
    try folder.write("cut/features.bf16", damaged)
    let error = #expect(throws: GristError.self) {
      try alignment.run(folder: cut, to: AtomicFile(path: folder.file("x.grist"), kind: .grist))
    }
    #expect(error?.what.contains("not what was written") == true && error?.offset != nil)
    try folder.write("cut/features.bf16", Array(features.dropLast(2)))
    let short = #expect(throws: GristError.self) { try alignment.gather(folder: cut) }
    #expect(short?.what.contains("too soon") == true)
  }

  @Test("only the router changes, is stored as it was, and the file says what was done")
  func stored() throws {
    let report = try aligned("aligned.grist")
    let written = try Source.open(path: folder.file("aligned.grist"))
    let (before, after) = (try #require(source.file).manifest, try #require(written.file).manifest)
    #expect(after.provenance.recipe == before.provenance.recipe && after.provenance.overrides == [])
    #expect(after.provenance.fingerprint == before.provenance.fingerprint)
    #expect(after.provenance.lineage.map(\.recipe) == ["int8", "align"])
    #expect(written.alignment?.digest == report.digest && source.alignment == nil)
    #expect(written.alignment?.summary.contains("4 questions about 2 pictures") == true)
    #expect(written.hasExactChoices == false)
    for (a, b) in zip(before.tensors, after.tensors) {
      #expect(a.name == b.name && a.origin == b.origin)
      let isRouter = a.name.hasPrefix("model.router.")
      #expect(isRouter ? b.relativeError > a.relativeError : a.relativeError == b.relativeError, "\(a.name)")
      if case .grouped(let own) = a.scheme, case .grouped(let other) = b.scheme { #expect(own.isLike(other)) }
    }
    // What it was trained to is what the file's router computes, up to its storage.
    #expect(report.steps == 4 && report.stepsNow == 4 && report.learned.questions == 4 && report.learned.pictures == 2)
    #expect(report.learned.before?.counts.reduce(0, +) == 4 && report.learned.after.counts.reduce(0, +) == 4)
    // Once more: nothing is asked, nothing trained, and the same is written.
    let again = try RouterAlignment(source, questions: questions(), options: options(), compute: compute).run(
      folder: folder.file("aligned.grist.feedback"), to: AtomicFile(path: folder.file("again.grist"), kind: .grist))
    #expect(again.stepsNow == 0 && again.digest == report.digest)
    #expect(try readFile(folder.file("again.grist")).elementsEqual(readFile(folder.file("aligned.grist"))))
  }

  @Test("other granularities: a router from the beginning, a configuration that says so")
  func granularities() throws {
    let report = try aligned(
      "many.grist",
      options {
        $0.granularities = [1, 36, 576]
        $0.training.epochs = 1
      })
    #expect(report.granularities == [1, 36, 576] && report.learned.before == nil)
    let written = try Source.open(path: folder.file("many.grist"))
    let model = try written.model(compute: compute)
    #expect(model.configuration.granularities == [1, 36, 576])
    let picture = try questions()[0].question.pictures[0]
    let image = try model.encode(model.picture(encoded: picture.bytes, name: picture.name))
    let decision = try model.prepare(questions()[0].question.conversation(clock: nil), image: image).decision
    #expect(decision?.wholePicture?.options == [1, 36, 576])
    let wrong = #expect(throws: GristError.self) { try aligned("wrong.grist", options { $0.granularities = [7] }) }
    #expect(wrong?.code == .usage)
  }

  @Test("a checkpoint, a question without a picture, memory that is too small")
  func refused() throws {
    let checkpoint = try Source.open(path: Fixtures.conformanceCheckpoint)
    let error = #expect(throws: GristError.self) {
      try RouterAlignment(checkpoint, questions: questions(), compute: compute)
    }
    #expect(error?.code == .usage && error?.advice?.contains("convert") == true)
    let bare = try folder.write("bare.jsonl", Array(#"{"question_id": 1, "text": "Hello"}"#.utf8))
    #expect(throws: GristError.self) { try TaughtQuestion.read(path: bare) }
    let small = #expect(throws: GristError.self) {
      try RouterAlignment(
        source, questions: questions(), options: options { $0.training.memoryBudget = 1 << 20 }, compute: compute)
    }
    #expect(small?.code == .usage && small?.advice?.contains("MiB") == true)
    #expect(throws: GristError.self) { try questions(teacher: .reference) }
  }

  @Test("whose answers: given, a record's, or the model's own")
  func teachers() throws {
    #expect(try questions().map(\.answer) == [TaughtQuestion.Answer](repeating: .text("a thing"), count: 4))
    #expect(try questions(teacher: .own).allSatisfy { $0.answer == .own })
    let asked = try questions().map(\.question)
    let checkpoint = try Source.open(path: Fixtures.conformanceCheckpoint)
    var recording = Recording.Options()
    (recording.maxNewTokens, recording.triesCoarserArithmetic) = (2, false)
    let record = try Recording(checkpoint, questions: Array(asked.prefix(2)), options: recording, compute: compute)
      .run()
    try AtomicFile(path: folder.file("r.record"), kind: .record).finish(with: record.encoded())
    let (taught, teacher) = try TaughtQuestion.read(path: folder.file("r.record"))
    #expect(teacher == .reference && taught.map(\.answer) == record.cases.map { .tokens($0.tokens) })
    // Along its own answer at the finest granularity nothing diverges there.
    let own = options { $0.measure = .divergence }
    try RouterAlignment(source, questions: questions(teacher: .own), options: own, compute: compute)
      .gather(folder: folder.file("own"))
    for (number, line) in try JSONLines.wholeLines(path: folder.file("own/feedback.jsonl")).dropFirst().enumerated() {
      let losses = try JSONLines.reader(line, path: "own", number: number + 2).array("losses").compactMap(\.double)
      #expect(losses[4] == 0 && losses[0] > 0)
    }
  }
}

@Suite("Verifying an aligned file") struct AlignedVerificationTests {
  private let folder: TemporaryFolder
  private let compute: Compute
  private let checkpoint: Source
  private let questions: [Question]

  init() throws {
    folder = try TemporaryFolder()
    compute = Compute(pool: try ThreadPool(threads: 2))
    checkpoint = try Source.open(path: Fixtures.conformanceCheckpoint)
    questions = try ["What is it?", "Is it red?", "Count the petals."].map {
      try Question(imagePaths: [Fixtures.conformanceImages + "/flower_tiny.jpg"], prompt: $0)
    }
    var options = Conversion.Options()
    (options.recipe, options.calibration) = (.source, CalibrationMode.none)
    try Conversion(checkpoint, options: options, pool: compute.pool).run(
      to: AtomicFile(path: folder.file("model.grist"), kind: .grist))
    // What is taught prefers the coarsest granularity by its price, so that every choice becomes that.
    var alignment = RouterAlignment.Options()
    alignment.training.loss.tokenPrice = 100
    (alignment.training.epochs, alignment.training.batch, alignment.training.rate) = (60, 1, 3e-3)
    alignment.maxNewTokens = 2
    try RouterAlignment(
      Source.open(path: folder.file("model.grist")),
      questions: questions.map { TaughtQuestion($0, answer: .text("a thing")) }, options: alignment, compute: compute
    ).run(folder: folder.file("feedback"), to: AtomicFile(path: folder.file("aligned.grist"), kind: .grist))
  }

  private func verified(_ name: String, against path: String? = nil, allowsLoss: Bool = false) throws
    -> VerificationReport
  {
    let model = try Source.open(path: folder.file(name))
    let reference = try Reference.open(
      path ?? checkpoint.path, model: model, asksQuestions: path == nil, allowsLoss: allowsLoss)
    var options = Verification.Options()
    options.maxNewTokens = 2
    return try Verification(
      model, against: reference, questions: path == nil ? questions : [], options: options, compute: compute
    ).run()
  }

  private func recorded(_ name: String) throws -> String {
    var options = Recording.Options()
    (options.maxNewTokens, options.triesCoarserArithmetic) = (2, false)
    let record = try Recording(
      Source.open(path: folder.file(name)), questions: questions, options: options, compute: compute
    ).run()
    let path = folder.file(name + ".record")
    try AtomicFile(path: path, kind: .record).finish(with: record.encoded())
    return path
  }

  @Test("its choices are neither faults nor agreement; outputs are compared as ever, weights to what is recorded")
  func againstTheCheckpoint() throws {
    let report = try verified("aligned.grist")
    #expect(report.count(.aligned) == 3 && report.count(.agrees) == 0 && report.count(.differs) == 0)
    #expect(report.cases.allSatisfy { $0.decision?.granularity == .uniform(36) })
    #expect(report.sameChoices < 3 && report.ownAlignment?.contains("aligned on 3 questions") == true)
    #expect(report.passed && report.notTested.contains { $0.contains("not the reference's to make") })
    // The language model is the checkpoint's, and so are outputs at given granularities.
    #expect(report.kl.mean < 1e-9 && report.weights?.rejected.isEmpty == true && report.hasExactChoices == false)
    #expect(report.html.contains("its choices are its own"))
    // Without the alignment the same choices would be faults.
    let plain = try verified("model.grist")
    #expect(plain.passed && plain.count(.agrees) == 3 && plain.ownAlignment == nil)
  }

  @Test("its own record is its reference, choices and all, and nobody else's")
  func againstItsRecord() throws {
    let own = try recorded("aligned.grist")
    let report = try verified("aligned.grist", against: own)
    #expect(report.passed && report.count(.agrees) == 3 && report.ownAlignment == nil)
    #expect(report.referenceLoss != nil)
    let error = #expect(throws: GristError.self) { try verified("model.grist", against: own) }
    #expect(error?.code == .badData && error?.what.contains("lost something") == true)
    let other = try verified("model.grist", against: own, allowsLoss: true)
    #expect(other.count(.aligned) == 3 && other.ownAlignment?.contains("was not") == true)
    let upstream = try verified("aligned.grist", against: recorded("model.grist"))
    #expect(upstream.count(.aligned) == 3 && upstream.passed)
  }
}
