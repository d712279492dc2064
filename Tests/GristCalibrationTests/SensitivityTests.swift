import GristCalibration
import GristConversion
import GristCore
import GristKernels
import GristModel
import GristQuantization
import TestSupport
import Testing

@Suite("Bits where they pay") struct SensitivityTests {
  private static func plan(_ allotments: [ByteName: Recipe.Allotment] = [:]) throws -> ConversionPlan {
    try ConversionPlan(
      ConversionSource.open(path: Fixtures.conformanceCheckpoint), recipe: Recipe(.int4, allotments: allotments))
  }

  private static func measure(
    _ allotment: BitAllotment, isCalibrated: Bool = false, threads: Int = 2
  ) throws -> [MatrixSensitivity] {
    let source = try ModelSource.open(path: Fixtures.conformanceCheckpoint)
    let samples = Calibration.bundled.samples.prefix(2)
    let probe = try SensitivityProbe(
      Calibration(samples: Array(samples), name: "two"), source, isCalibrated: isCalibrated,
      pool: ThreadPool(threads: threads))
    return try probe.measure(allotment.matrices(of: plan(), overrides: []), choices: allotment.choices)
  }

  @Test("every matrix of the layers is measured, and more bits cost less", arguments: [false, true])
  func measured(isCalibrated: Bool) throws {
    let allotment = BitAllotment(targetBits: 5, groupSize: 64)
    let matrices = try Self.measure(allotment, isCalibrated: isCalibrated)
    let layers = try Self.plan().entries.filter {
      $0.tensor.name.hasPrefix("model.layers.") && $0.scheme.name.hasPrefix("int4")
    }
    #expect(Set(matrices.map(\.name)) == Set(layers.map(\.tensor.name)) && matrices.count > 10)
    for matrix in matrices {
      #expect(matrix.offers.map(\.choice) == allotment.choices)
      let prices = matrix.offers.map(\.price)
      #expect(prices[0] > prices[1] && prices[1] > prices[2] && prices[2] > 0, "\(matrix.name): \(prices)")
      #expect(prices[2] < prices[0] / 5, "\(matrix.name): \(prices)")
    }
  }

  @Test("the budget is kept, and nearly all of it spent; the same for any number of threads")
  func spent() throws {
    let allotment = BitAllotment(targetBits: 5, groupSize: 64)
    let allotments = try allotment.spend(Self.measure(allotment))
    let other = try allotment.spend(Self.measure(allotment, threads: 1))
    #expect(allotments.mapValues(\.choice) == other.mapValues(\.choice))
    let entries = try Self.plan(allotments).entries.filter { allotments[ByteName($0.tensor.name)] != nil }
    #expect(entries.count == allotments.count)
    let weights = entries.reduce(0) { $0 + $1.tensor.elementCount }
    let bits = 8 * Double(entries.reduce(0) { $0 + $1.payloadBytes }) / Double(weights)
    #expect(bits <= 5 && bits > 4.8, "\(bits)")
    #expect(Set(entries.map(\.scheme.name)).count > 1)
    #expect(entries.allSatisfy { $0.reason.hasPrefix("--target-bits: divergence of int4:64") })
  }

  @Test("what is left after 4 bits goes first where it saves most")
  func order() throws {
    let matrices = try Self.measure(BitAllotment(targetBits: 5, groupSize: 64))
    func gain(_ matrix: MatrixSensitivity) -> Double {
      (matrix.offers[0].price - matrix.offers[2].price)
        / Double(matrix.offers[2].byteCount - matrix.offers[0].byteCount)
    }
    let least = matrices.reduce(0) { $0 + $1.offers[0].byteCount }
    let weights = matrices.reduce(0) { $0 + $1.shape.reduce(1, *) }
    let first = try #require(matrices.max { gain($0) < gain($1) })
    let budget = least + first.offers[2].byteCount - first.offers[0].byteCount
    let bits = 8 * Double(budget) / Double(weights) + 1e-9
    let allotments = try BitAllotment(targetBits: bits, groupSize: 64).spend(matrices)
    let chosen = matrices.reduce(0.0) { sum, matrix in
      let choice = allotments[ByteName(matrix.name)]?.choice
      return sum + (matrix.offers.first { $0.choice == choice }?.price ?? .infinity)
    }
    let alone = matrices.reduce(0) { $0 + ($1.name == first.name ? $1.offers[2].price : $1.offers[0].price) }
    #expect(chosen <= alone)
  }

  @Test("a budget that cannot be kept or not be spent is refused, and so is one for nothing")
  func refused() throws {
    let matrices = try Self.measure(BitAllotment(targetBits: 5, groupSize: 64))
    for bits in [0, 4, 9, .infinity, .nan] as [Double] {
      let error = try #require(throws: GristError.self) {
        _ = try BitAllotment(targetBits: bits, groupSize: 64).spend(matrices)
      }
      #expect(error.code == .usage && error.what.contains("--target-bits must be from 4."), "\(error)")
    }
    // Before anything is measured, too.
    let early = try #require(throws: GristError.self) {
      _ = try BitAllotment(targetBits: 9, groupSize: 64).matrices(of: Self.plan(), overrides: [])
    }
    #expect(early.code == .usage && early.what.contains("--target-bits must be from 4."))
    let plan = try ConversionPlan(
      ConversionSource.open(path: Fixtures.conformanceCheckpoint), recipe: Recipe(.int8))
    let error = try #require(throws: GristError.self) {
      _ = try BitAllotment(targetBits: 5, groupSize: 64).matrices(of: plan, overrides: [])
    }
    #expect(error.code == .usage && error.what.contains("nothing to spend on"))
  }
}
