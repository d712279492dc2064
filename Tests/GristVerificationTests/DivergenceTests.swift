import Foundation
import GristKernels
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

@Suite("Divergence of many rows") struct RowDivergenceTests {
  @Test("is what f64 throughout gives, to a millionth of a nat")
  func agrees() throws {
    var random = SystemRandomNumberGenerator()
    let compute = Compute(pool: try ThreadPool(threads: 2))
    let (rows, columns) = (7, 1003)
    let reference = FloatMatrix(rows: rows, columns: columns)
    let model = FloatMatrix(rows: rows, columns: columns)
    for row in 0..<rows {
      for column in 0..<columns {
        reference[row, column] = Float.random(in: -12...12, using: &random)
        // From next to nothing to something else altogether.
        let change = Float.random(in: -1...1, using: &random) * [0, 1e-3, 1e-2, 0.1, 1, 4, 20][row]
        model[row, column] = reference[row, column] + change
      }
    }
    for (row, quick) in compute.divergences(reference: reference, model: model).enumerated() {
      let exact = Divergence(reference: reference.row(row), model: model.row(row)).kl
      #expect(abs(quick - exact) < 1e-6 + 1e-6 * exact, "row \(row): \(quick) and \(exact)")
    }
  }
}
