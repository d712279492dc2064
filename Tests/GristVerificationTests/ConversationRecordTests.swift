import GristCore
import GristKernels
import GristModel
import GristSources
import GristVerification
import TestSupport
import Testing

@Suite("Records of conversations") struct ConversationRecordTests {
  private static let image = Fixtures.conformanceImages + "/flower_tiny.jpg"

  private func questions() throws -> [Question] {
    let pictures = try ["flower_tiny.jpg", "china.jpg"].map {
      Question.Picture(name: $0, bytes: try readFile(Fixtures.conformanceImages + "/" + $0))
    }
    return [
      Question(prompt: "Hi"), Question(pictures: [pictures[0]], prompt: "What is it?"),
      Question(pictures: pictures, prompt: "Which is wider?"),
      Question(
        pictures: [pictures[1], pictures[1]], system: "Look closely.",
        history: [.init(user: .init(parts: [.text("Look:"), .picture]), assistant: "I see.")],
        message: .init(parts: [.picture, .text("And"), .text("this?")])),
    ]
  }

  @Test("they come back as they were, ask readers to know conversations, and verify the model that gave them")
  func roundTrip() throws {
    let source = try Source.open(path: Fixtures.path("huggingface/next-5"))
    let compute = Compute(pool: try ThreadPool(threads: 2))
    let asked = try questions()
    let record = try Recording(source, questions: asked, compute: compute).run()
    let bytes = try record.encoded()
    let again = try ReferenceRecord(bytes, path: "record")
    #expect(again.cases.map(\.question) == asked)
    #expect(again.cases.map { $0.question.pictures.map(\.bytes.count) } == asked.map { $0.pictures.map(\.bytes.count) })
    #expect(try again.encoded().array == bytes.array)
    #expect(String(decoding: bytes.array.prefix(1 << 16), as: UTF8.self).contains(#"\"requires\":[\"conversations\"]"#))
    let report = try Verification(source, against: .record(again), compute: compute).run()
    #expect(report.passed && report.cases.count == 4)
    #expect(report.html.contains("flower_tiny.jpg, china.jpg"))
    let plain = try Recording(source, questions: Array(asked.prefix(2)), compute: compute).run()
    #expect(String(decoding: try plain.encoded().array.prefix(1 << 16), as: UTF8.self).contains(#"\"requires\":[]"#))
  }
}
