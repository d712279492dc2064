import Foundation
import GristModel
import GristVerification
import Testing

@Suite("Divergence") struct DivergenceTests {
  @Test("equal logits do not diverge, nor do logits moved by a constant")
  func equal() {
    let logits: [Float] = [1, -2, 3.5, 0]
    #expect(Divergence(reference: logits, model: logits).kl == 0)
    #expect(Divergence(reference: logits, model: logits.map { $0 + 4 }).kl < 1e-12)
    #expect(Divergence(reference: logits, model: logits.map { $0 + 4 }).largestLogitDifference == 4)
  }

  @Test("two outcomes: the closed form")
  func twoOutcomes() {
    // p = (3/4, 1/4), q = (1/2, 1/2): KL = 3/4·ln(3/2) + 1/4·ln(1/2).
    let divergence = Divergence(reference: [Float(log(3.0)), 0], model: [0, 0])
    #expect(abs(divergence.kl - (0.75 * log(1.5) + 0.25 * log(0.5))) < 1e-7)
    #expect(Divergence(reference: [1, 0], model: [0, 1]).agreesOnTop == false)
  }

  @Test("what is not finite diverges infinitely")
  func notFinite() {
    #expect(Divergence(reference: [0, 1], model: [.nan, 1]).kl == .infinity)
    #expect(Divergence(reference: [0, 1], model: [0, .infinity]).kl == .infinity)
    #expect(Divergence(reference: [], model: []).kl == .infinity)
    #expect(Divergence(reference: [1], model: [1, 2]).kl == .infinity)
  }

  @Test("mean, 99th percentile and maximum")
  func summary() {
    let summary = DivergenceSummary((1...200).map(Double.init))
    #expect(summary.median == 100)
    #expect(summary.mean == 100.5)
    #expect(summary.p99 == 198)
    #expect(summary.maximum == 200)
    #expect(DivergenceSummary([]).mean == 0)
    #expect(DivergenceSummary([7]).p99 == 7)
  }
}
