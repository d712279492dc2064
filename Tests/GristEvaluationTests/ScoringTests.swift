import Foundation
import GristCore
import GristEvaluation
import TestSupport
import Testing

/// Against the published scorers: Tools/reference/write_scores.py.
@Suite("Scores of answers") struct ScoringTests {
  @Test("are those of the published scorers", arguments: AnswerScore.allCases)
  func published(kind: AnswerScore) throws {
    let cases = try #require(Fixtures.json("evaluation/scores.json")[kind.rawValue]?.array)
    #expect(cases.count >= 100)
    for item in cases {
      let answer = try #require(item["answer"]?.string)
      let right = try #require(item["right"]?.array).compactMap(\.string)
      let score = kind.score(answer, right)
      #expect(abs(score - (item["score"]?.double ?? -1)) < 1e-6, "\(answer.debugDescription) of \(right): \(score)")
    }
  }

  @Test("MME's total is the published one, over pictures that were asked about twice")
  func mmeTotal() throws {
    let told = try #require(Fixtures.json("evaluation/scores.json")["mme total"])
    let answers = try #require(told["answers"]?.array).map { item in
      (
        category: item["category"]?.string, picture: item["question_id"]?.string ?? "",
        isRight: item["score"]?.double == 1
      )
    }
    let pairs = try #require(PairedQuestions(answers))
    #expect(abs(pairs.score - (told["score"]?.double ?? 0)) < 1e-9 && pairs.categories.count == 3)
    #expect(pairs.accuracyPlus > 0 && pairs.accuracyPlus < 1)
    #expect(PairedQuestions(Array(answers.dropLast())) == nil && PairedQuestions([]) == nil)
  }

  @Test("one answer of one person is whole where it is given")
  func single() { #expect(AnswerScore.vqa.score("A cat", ["cat"]) == 1 && AnswerScore.vqa.score("dog", ["cat"]) == 0) }
}

@Suite("Comparing two answerers") struct StatisticsTests {
  @Test(
    "McNemar's exact test and the interval",
    arguments: [
      // scipy.stats.binomtest(min(b, c), b + c).pvalue; Agresti and Min's formula by hand.
      (0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (12, 4, 0.076812744140625), (30, 30, 1.0),
      (40, 20, 0.01349556159449829),
      (600, 500, 0.0028242), (3, 17, 0.002576828),
    ])
  func mcNemar(first: Int, second: Int, p: Double) {
    let comparison = PairedComparison(both: 700, neither: 100, firstOnly: first, secondOnly: second)
    #expect(abs(comparison.pValue - p) < 2e-6 * max(1, 1 / max(p, 1e-3)) * 1e-1 + 1e-6, "\(comparison.pValue)")
    #expect(comparison.interval.contains(comparison.difference))
    let swapped = PairedComparison(both: 700, neither: 100, firstOnly: second, secondOnly: first)
    #expect(abs(swapped.pValue - comparison.pValue) < 1e-12 && abs(swapped.difference + comparison.difference) < 1e-12)
  }

  @Test("a confidence sequence holds the mean at all times, and narrows")
  func sequence() {
    var missed = 0
    for seed in 0..<200 {
      var state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 &+ 1
      var sequence = ConfidenceSequence()
      var holds = true
      for _ in 0..<1500 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        // 0, 1/2 or 1: a difference of −1, 0 or 1, with mean 0.52.
        let draw = Double(state >> 11) / Double(1 << 53)
        sequence.append(draw < 0.1 ? 0 : draw < 0.86 ? 0.5 : 1)
        holds = holds && sequence.interval.contains(0.52)
      }
      missed += holds ? 0 : 1
      #expect(sequence.interval.upperBound - sequence.interval.lowerBound < 0.1)
    }
    // One in twenty is promised; it is careful.
    #expect(missed <= 10, "\(missed) of 200")
  }

  @Test("it is Waudby-Smith and Ramdas's")
  func reference() throws {
    let document = try Fixtures.json("evaluation/sequence.json")
    var sequence = ConfidenceSequence()
    for (value, bounds) in zip(try #require(document["values"]?.array), try #require(document["intervals"]?.array)) {
      sequence.append(try #require(value.double))
      #expect(abs(sequence.interval.lowerBound - (bounds.array?[0].double ?? -9)) < 1e-9)
      #expect(abs(sequence.interval.upperBound - (bounds.array?[1].double ?? -9)) < 1e-9)
    }
  }
}
