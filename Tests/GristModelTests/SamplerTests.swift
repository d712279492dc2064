import Foundation
import GristCore
import GristModel
import Testing

@Suite("Sampling") struct SamplerTests {
  private func draws(_ logits: [Float], temperature: Float, topP: Float = 1, seed: UInt64 = 1, count: Int) throws
    -> [Int]
  {
    var sampler = try Sampler(temperature: temperature, topP: topP, seed: seed)
    return (0..<count).map { _ in sampler.next(logits) }
  }

  @Test("temperature 0 takes the greatest, the first of equal ones")
  func greedy() throws {
    #expect(try draws([1, 3, 3, 2], temperature: 0, count: 3) == [1, 1, 1])
  }

  @Test("frequencies follow the softmax at the temperature", arguments: [Float(0.5), 1, 2])
  func frequencies(temperature: Float) throws {
    let logits: [Float] = [0, 1, 2]
    let weights = logits.map { exp(Double($0 / temperature)) }
    let drawn = try draws(logits, temperature: temperature, count: 40_000)
    for (index, weight) in weights.enumerated() {
      let frequency = Double(drawn.filter { $0 == index }.count) / 40_000
      #expect(abs(frequency - weight / weights.reduce(0, +)) < 0.01)
    }
  }

  @Test("top-p keeps the fewest tokens that reach the mass")
  func nucleus() throws {
    // Probabilities 0.5, 0.3, 0.2.
    let logits = [0.5, 0.3, 0.2].map { Float(log($0)) }
    #expect(Set(try draws(logits, temperature: 1, topP: 0.49, count: 500)) == [0])
    #expect(Set(try draws(logits, temperature: 1, topP: 0.79, count: 500)) == [0, 1])
    #expect(Set(try draws(logits, temperature: 1, topP: 1, count: 500)) == [0, 1, 2])
  }

  @Test("the same seed draws the same, another seed something else")
  func seeds() throws {
    let logits = [Float](repeating: 0, count: 50)
    let first = try draws(logits, temperature: 1, seed: 7, count: 20)
    #expect(try draws(logits, temperature: 1, seed: 7, count: 20) == first)
    #expect(try draws(logits, temperature: 1, seed: 8, count: 20) != first)
  }

  @Test("settings that make no sense are refused with 64")
  func settings() {
    for (temperature, topP) in [(-1, 1), (.infinity, 1), (.nan, 1), (1, 0), (1, 1.5), (1, .nan)] as [(Float, Float)] {
      let error = #expect(throws: GristError.self) { _ = try Sampler(temperature: temperature, topP: topP) }
      #expect(error?.code == .usage)
    }
  }
}
