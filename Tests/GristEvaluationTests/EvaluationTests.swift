import Foundation
import GristConversion
import GristCore
import GristEvaluation
import GristKernels
import GristModel
import GristSources
import TestSupport
import Testing

@Suite("Evaluating a model") struct EvaluationTests {
  private let folder: TemporaryFolder
  private let source: Source
  private let compute: Compute

  init() throws {
    folder = try TemporaryFolder()
    source = try Source.open(path: Fixtures.conformanceCheckpoint)
    compute = Compute(pool: try ThreadPool(threads: 2))
  }

  private func questions(_ lines: [String]) throws -> [EvaluationQuestion] {
    try EvaluationQuestion.read(
      path: folder.write("q.jsonl", Array(lines.joined(separator: "\n").utf8)), images: Fixtures.conformanceImages)
  }

  private static let lines = [
    #"{"question_id": 7, "image": "flower_tiny.jpg", "text": "<image>\nWhat is it?", "category": "flowers", "answer": "ur"}"#,
    #"{"question_id": "b", "image": "flower_tiny.jpg", "text": "Is it red?", "category": "flowers", "answers": ["yes"]}"#,
    "", #"{"question_id": 9, "text": "Good morning!", "category": "greetings", "answer": "x"}"#,
  ]

  private func options(_ granularities: [EvaluatedGranularity] = []) -> Evaluation.Options {
    var options = Evaluation.Options()
    (options.granularities, options.maxNewTokens, options.score) = (granularities, 3, .exact)
    return options
  }

  @Test("every granularity's answer is that of asking at it alone, and the router's is one of them")
  func answers() throws {
    let asked = try questions(Self.lines)
    let report = try Evaluation(source, questions: asked, options: options(), compute: compute).run()
    #expect(report.granularities == [.auto, .fixed(36), .fixed(72), .fixed(144), .fixed(288), .fixed(576)])
    let model = try source.model(compute: compute)
    for (question, result) in zip(asked, report.results) {
      let images = try question.question.pictures.map {
        try model.encode(model.picture(encoded: $0.bytes, name: $0.name))
      }
      for granularity in report.granularities {
        var forced: Granularity?
        if case .fixed(let tokens) = granularity, !images.isEmpty { forced = .uniform(tokens) }
        let prompt = try model.prepare(question.question.conversation(clock: nil), images: images, granularity: forced)
        let alone = try model.answer(prompt, maxNewTokens: 3, sampler: Sampler())
        let answer = try #require(result.answer(granularity))
        #expect(answer.tokens == alone.tokens && answer.visualTokens == prompt.pictureRows)
      }
      #expect(result.answers.count == (images.isEmpty ? 1 : 5) && (result.choice == nil) == images.isEmpty)
    }
    let rows = report.rows
    #expect(rows[5].reduction == 0 && (rows[1].reduction ?? 0) > 0.8 && rows[0].right?.count == 3)
    #expect(report.categories == ["flowers", "greetings"] && rows[0].categories.map { $0.right?.count } == [2, 1])
    #expect(report.choices.first?.counts.values.reduce(0, +) == 2)
  }

  @Test("one that was stopped goes on, also behind a line that was cut, and gives what one that was not gives")
  func resumed() throws {
    let asked = try questions(Self.lines)
    let evaluation = try Evaluation(source, questions: asked, options: options([.auto, .fixed(36)]), compute: compute)
    let whole = folder.file("whole")
    let stopped = folder.file("stopped")
    _ = try evaluation.run(folder: whole)
    let lines = try readFile(whole + "/progress.jsonl").array.split(separator: 0x0a, omittingEmptySubsequences: false)
    #expect(lines.count == 5)
    for kept in 0...3 {
      try? FileManager.default.removeItem(atPath: stopped)
      try FileManager.default.createDirectory(atPath: stopped, withIntermediateDirectories: true)
      let start = lines.prefix(kept).flatMap { $0 + [0x0a] } + lines[kept].prefix(9)
      try Data(start).write(to: URL(fileURLWithPath: stopped + "/progress.jsonl"))
      _ = try evaluation.run(folder: stopped)
      for name in ["answers-auto.jsonl", "answers-36.jsonl"] {
        #expect(try readFile(stopped + "/" + name).array == readFile(whole + "/" + name).array, "\(kept) \(name)")
      }
    }
    let first = try JSONValue.parse(
      readFile(whole + "/answers-auto.jsonl").array.split(separator: 0x0a).first.map { Bytes(Array($0)) } ?? Bytes([]))
    #expect(first.object?.names == ["question_id", "prompt", "text", "answer_id", "model_id", "metadata"])
    #expect(first["question_id"]?.integer == 7 && first["prompt"]?.string == "What is it?")
    let page = try #require(readFile(whole + "/report.html").utf8)
    #expect(page.contains("At each granularity") && page.contains("<svg") && page.contains("greetings"))
    let other = try Evaluation(source, questions: asked, options: options([.auto]), compute: compute)
    let error = try #require(throws: GristError.self) { try other.run(folder: whole) }
    #expect(error.code == .badData && error.found?.contains("granularities") == true)
  }

  @Test("parts that were joined are the whole, and nothing is asked again")
  func parts() throws {
    let asked = try questions(Self.lines)
    let whole = folder.file("w")
    _ = try Evaluation(source, questions: asked, options: options([.auto, .fixed(72)]), compute: compute).run(
      folder: whole)
    let parts = try (1...2).map { index in
      var options = options([.auto, .fixed(72)])
      options.part = QuestionPart(index: index, count: 2)
      _ = try Evaluation(source, questions: asked, options: options, compute: compute).run(
        folder: folder.file("p\(index)"))
      return folder.file("p\(index)")
    }
    let joined = folder.file("joined")
    #expect(try EvaluationParts.merge(parts.reversed(), into: joined) == 3)
    let before = try readFile(joined + "/progress.jsonl").array
    _ = try Evaluation(source, questions: asked, options: options([.auto, .fixed(72)]), compute: compute).run(
      folder: joined)
    #expect(try readFile(joined + "/progress.jsonl").array == before)
    for name in ["answers-auto.jsonl", "answers-72.jsonl"] {
      #expect(try readFile(joined + "/" + name).array == readFile(whole + "/" + name).array)
    }
    #expect(throws: GristError.self) { try EvaluationParts.merge(parts, into: joined) }
    #expect(throws: GristError.self) { try EvaluationParts.merge([parts[0], whole], into: folder.file("x")) }
  }

  @Test("against a reference's answers; and a stop once enough is known")
  func against() throws {
    var lines: [String] = []
    var reference: [String] = []
    for number in 0..<400 {
      lines.append(#"{"question_id": \#(number), "text": "Question \#(number % 4)", "answer": "never said"}"#)
      reference.append(#"{"question_id": \#(number), "text": "never said"}"#)
    }
    let asked = try questions(lines)
    var options = options()
    options.maxNewTokens = 1
    options.reference = try ReferenceAnswers(
      path: folder.write("a.jsonl", Array(reference.joined(separator: "\n").utf8)))
    options.stopWithin = 0.2
    let report = try Evaluation(source, questions: asked, options: options, compute: compute).run()
    #expect(report.results.count < 100 && (report.interval?.upperBound ?? 0) < -0.2)
    let comparison = try #require(report.rows[0].comparison)
    #expect(comparison.secondOnly == report.results.count && comparison.difference == -1 && comparison.pValue < 0.01)
    let few = try ReferenceAnswers(path: folder.write("b.jsonl", Array(reference[0].utf8)))
    options.reference = few
    #expect(throws: GristError.self) { try Evaluation(source, questions: asked, options: options, compute: compute) }
  }

  @Test("MME's questions share an id two by two; a reference's answers to them are told apart by their prompts")
  func sharedIDs() throws {
    let lines = ["Is it red?", "Is it blue?"].map {
      #"{"question_id": "color/1.png", "image": "flower_tiny.jpg", "text": "\#($0)", "category": "color", "answer": "Yes"}"#
    }
    let asked = try questions(lines)
    var options = options([.fixed(36)])
    options.score = .mme
    let answers = try folder.write(
      "answers.jsonl",
      Array(
        (#"{"question_id": "color/1.png", "prompt": "Is it blue?", "text": "B"}"# + "\n"
          + #"{"question_id": "color/1.png", "prompt": "<image>\nIs it red?", "text": "R"}"#).utf8))
    options.reference = try ReferenceAnswers(path: answers)
    let report = try Evaluation(source, questions: asked, options: options, compute: compute).run()
    #expect(report.rows[0].pairs?.categories.map(\.name) == ["color"] && report.rows[0].pairs?.score == 0)
    #expect(report.json["rows"]?.array?.first?["mme"]?["categories"]?.array?.count == 1)
    let other = try folder.write(
      "other.jsonl", Array(#"{"question_id": "color/1.png", "prompt": "Is it red?", "text": "R"}"#.utf8))
    _ = try ReferenceAnswers(path: other)
  }

  @Test("within a budget of memory answers are the same; one that is too small is told with the least that works")
  func budget() throws {
    var conversion = Conversion.Options()
    (conversion.recipe, conversion.calibration, conversion.packing) = (.int8, CalibrationMode.none, .raw)
    try Conversion(source, options: conversion, pool: compute.pool).run(
      to: AtomicFile(path: folder.file("m.grist"), kind: .grist))
    let model = try Source.open(path: folder.file("m.grist"))
    let asked = try questions(Self.lines)
    func report(_ budget: MemoryBudget?) throws -> EvaluationReport {
      var options = options()
      options.memoryBudget = budget
      return try Evaluation(model, questions: asked, options: options, compute: compute).run()
    }
    let whole = try report(nil)
    var least = options()
    least.memoryBudget = .bytes(1 << 40)
    let plan = try #require(
      try Evaluation(model, questions: asked, options: least, compute: compute).memoryPlan())
    let within = try report(.bytes(plan.leastBudget + (1 << 20)))
    for (a, b) in zip(whole.results, within.results) {
      #expect(a.choice == b.choice && a.answers.mapValues(\.tokens) == b.answers.mapValues(\.tokens))
    }
    let error = #expect(throws: GristError.self) { try report(.bytes(1 << 16)) }
    #expect(error?.code == .usage)
  }

  @Test("a question longer than the context ends it, or is cut off as upstream does it")
  func overlong() throws {
    let small = try Source.open(path: Fixtures.path("checkpoints/f16-tied"))
    let asked = try questions(Array(Self.lines.prefix(1)))
    var options = options([.fixed(576)])
    let error = #expect(throws: GristError.self) {
      try Evaluation(small, questions: asked, options: options, compute: compute).run()
    }
    #expect(error?.what.contains("longer than the model's context") == true)
    options.overlength = .truncated
    #expect(try Evaluation(small, questions: asked, options: options, compute: compute).run().results.count == 1)
  }

  @Test(
    "questions that make no sense",
    arguments: [
      ("{}", "question_id"), (#"{"question_id": 1}"#, "text"), (#"{"question_id": [], "text": "a"}"#, "question_id"),
      ("{\"question_id\": 1, \"text\": \"a\"}\n{\"question_id\": 1, \"text\": \"a\"}", "comes twice"),
      ("nonsense", "line 1"),
      (#"{"question_id": 1, "text": "see <image> here"}"#, "text"), ("", "no questions"),
      (#"{"question_id": 1, "text": "a", "image": "nowhere.jpg"}"#, "nowhere.jpg"),
    ])
  func nonsense(text: String, said: String) {
    let error = #expect(throws: GristError.self) { try questions([text]) }
    #expect(error?.description.contains(said) == true, "\(String(describing: error))")
  }
}
