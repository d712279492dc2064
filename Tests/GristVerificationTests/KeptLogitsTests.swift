import Foundation
import GristCore
import GristKernels
import GristModel
import GristSources
import GristVerification
import TestSupport
import Testing

@Suite("Records of the greatest logits alone") struct KeptLogitsTests {
  let folder = try! TemporaryFolder()

  private struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state ^ state >> 29
    }
  }

  @Test(
    "the true divergence lies within the bounds, which close as more is kept", arguments: [1, 2, 3, 4, 5] as [UInt64])
  func bounds(seed: UInt64) {
    var generator = Generator(state: seed)
    func logits(_ count: Int, like other: [Float]? = nil, apart: Float) -> [Float] {
      (0..<count).map { (other?[$0] ?? 0) + Float.random(in: -apart...apart, using: &generator) }
    }
    for count in [2, 5, 100, 3000] {
      for spread: Float in [0.1, 3, 12] {
        let reference = logits(count, apart: spread)
        let model = logits(count, like: reference, apart: Float.random(in: 0...spread, using: &generator))
        let token = Int.random(in: 0..<count, using: &generator)
        let exact = Divergence(reference: reference, model: model, token: token)
        var last = Double.infinity
        for kept in [1, 2, 4, 16, 64, 1024, count] where kept <= count {
          let found = Divergence(
            reference: KeptLogits(reference, greatest: kept, and: token), model: model, token: token)
          // f32 keeps seven digits of the rest's sum.
          let slack = 1e-5 * max(1, Double(spread))
          #expect(found.klAtLeast <= exact.kl + slack && exact.kl <= found.kl + slack, "\(count) \(spread) \(kept)")
          #expect(kept < 4 || found.kl <= last + slack)
          #expect(abs((found.surprisal?.reference ?? 0) - (exact.surprisal?.reference ?? 0)) < slack)
          #expect(found.surprisal?.model == exact.surprisal?.model)
          if kept > 1 { #expect(found.agreesOnTop == exact.agreesOnTop) }
          #expect(found.largestLogitDifference <= exact.largestLogitDifference)
          last = found.kl
        }
        #expect(abs(last - exact.kl) < 1e-9)
      }
    }
  }

  @Test("the worst that the rest can hide is what the bound is")
  func worst() {
    // Three of four tokens are not kept: together half, none beyond a quarter.
    let p = [0.5, 0.25, 0.15, 0.1]
    let kept = KeptLogits(
      ids: [0], values: [Float(log(p[0]))],
      rest: KeptLogits.Rest(logSum: Float(log(0.5)), greatest: Float(log(0.25))), count: 4)
    let q = [0.4, 0.3, 0.2, 0.1]
    let found = Divergence(reference: kept, model: q.map { Float(log($0)) })
    let first = 0.5 * log(0.5 / 0.4)
    #expect(abs(found.kl - (first + 0.25 * log(0.25 / 0.1) + 0.25 * log(0.25 / 0.2))) < 1e-6)
    #expect(abs(found.klAtLeast - (first + 0.5 * log(0.5 / 0.6))) < 1e-6)
    #expect(!Divergence(reference: kept, model: [.nan, 0, 0, 0]).kl.isFinite)
    #expect(!Divergence(reference: kept, model: [0, 0, 0]).kl.isFinite)
  }

  @Test("a record that keeps 8 of each token is small, is read as it was written, and verifies within its bounds")
  func record() throws {
    let compute = try Compute(pool: ThreadPool(threads: 2), activations: .f32)
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    let questions = [
      Question(prompt: "Hello"), Question(prompt: "What?"),
    ]
    var options = Recording.Options()
    options.maxNewTokens = 6
    let whole = try Recording(source, questions: questions, options: options, compute: compute).run()
    options.keptLogits = 8
    let small = try Recording(source, questions: questions, options: options, compute: compute).run()
    let path = folder.file("small.record")
    try AtomicFile(path: path, kind: .record).finish(with: small.encoded())
    let read = try ReferenceRecord(path: path)
    #expect(read.keptLogits == 8 && whole.keptLogits == nil)
    for (a, b) in zip(read.cases, small.cases) { #expect(a.logits == b.logits && a.tokens == b.tokens) }
    #expect(try small.encoded().count < whole.encoded().count / 8)
    #expect(whole.cases.map { $0.keeping(greatest: 8).logits } == small.cases.map(\.logits))

    func report(_ record: ReferenceRecord) throws -> VerificationReport {
      var options = Verification.Options()
      options.limits.requiresChoices = false
      return try Verification(source, against: .record(record), options: options, compute: compute).run()
    }
    let (exact, bounded) = (try report(whole), try report(read))
    #expect(exact.passed && bounded.passed == (bounded.kl.mean <= bounded.limits.maximumMeanKL))
    #expect(bounded.leastMeanKL <= exact.kl.mean + 1e-6 && exact.kl.mean <= bounded.kl.mean)
    #expect(bounded.top1Agreement == 1 && bounded.keptLogits == 8 && exact.keptLogits == nil)

    // What does not fit together is refused, though its checksum fits.
    for (suffix, expected) in [("top.logits", "lacks logits"), ("rest", "lacks logits")] {
      var writer = SafetensorsWriter(metadata: try SafetensorsFile(path: path).metadata.filter { $0.name != "xxh3" })
      for tensor in try SafetensorsFile(path: path).tensors where tensor.name != "case.1." + suffix {
        try writer.add(tensor.name, tensor.elementType, shape: tensor.shape, bytes: tensor.bytes())
      }
      try folder.write("broken.record", writer.encodedWithChecksum.array)
      let error = try #require(throws: GristError.self) { try ReferenceRecord(path: folder.file("broken.record")) }
      #expect(error.code == .badData && error.what.contains(expected))
    }
    try folder.write(
      "plain.record",
      SafetensorsWriter(metadata: SafetensorsFile(path: path).metadata.filter { $0.name != "xxh3" }).encoded.array)
    #expect(throws: GristError.self) { try ReferenceRecord(path: folder.file("plain.record")) }
  }
}
