import GristConversion
import GristCore
import GristKernels
import GristModel
import GristSources
import TestSupport
import Testing

@Suite("Bits where they pay") struct SensitivityTests {
  private static func plan(_ assignments: [ByteName: Recipe.Assignment] = [:]) throws -> ConversionPlan {
    try ConversionPlan(
      Source.open(path: Fixtures.conformanceCheckpoint), recipe: Recipe(.int4, assignments: assignments))
  }

  private static func measure(
    _ budget: BitBudget, isCalibrated: Bool = false, threads: Int = 2
  ) throws -> [Sensitivity] {
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    let samples = Calibration.bundled(withPhotographs: false).samples.prefix(2)
    let meter = try SensitivityMeter(
      Calibration(samples: Array(samples), name: "two"), source, isCalibrated: isCalibrated,
      pool: ThreadPool(threads: threads))
    return try meter.measure(
      budget.matrices(of: plan(), recipe: Recipe(.int4), withPictures: false), schemes: budget.schemes)
  }

  @Test("every matrix of the layers is measured, and more bits cost less", arguments: [false, true])
  func measured(isCalibrated: Bool) throws {
    let budget = BitBudget(targetBits: 5, groupSize: 64)
    let matrices = try Self.measure(budget, isCalibrated: isCalibrated)
    let layers = try Self.plan().entries.filter {
      $0.tensor.name.hasPrefix("model.layers.") && $0.scheme.name.hasPrefix("int4")
    }
    #expect(Set(matrices.flatMap(\.names)) == Set(layers.map(\.tensor.name)) && matrices.count > 10)
    for matrix in matrices {
      #expect(matrix.offers.map(\.scheme) == budget.schemes)
      let prices = matrix.offers.map(\.price)
      #expect(prices[0] > prices[1] && prices[1] > prices[2] && prices[2] > 0, "\(matrix.names): \(prices)")
      #expect(prices[2] < prices[0] / 5, "\(matrix.names): \(prices)")
    }
  }

  @Test("the budget is kept, and nearly all of it spent; the same for any number of threads")
  func spent() throws {
    let budget = BitBudget(targetBits: 5, groupSize: 64)
    let assignments = try budget.spend(Self.measure(budget))
    let other = try budget.spend(Self.measure(budget, threads: 1))
    #expect(assignments.mapValues(\.scheme) == other.mapValues(\.scheme))
    let entries = try Self.plan(assignments).entries.filter { assignments[ByteName($0.tensor.name)] != nil }
    #expect(entries.count == assignments.count)
    let weights = entries.reduce(0) { $0 + $1.tensor.elementCount }
    let bits = 8 * Double(entries.reduce(0) { $0 + $1.payloadBytes }) / Double(weights)
    #expect(bits <= 5 && bits > 4.8, "\(bits)")
    #expect(Set(entries.map(\.scheme.name)).count > 1)
    #expect(entries.allSatisfy { $0.reason.hasPrefix("--target-bits: divergence of int4:64") })
  }

  @Test("what is left after 4 bits goes first where it saves most")
  func order() throws {
    let matrices = try Self.measure(BitBudget(targetBits: 5, groupSize: 64))
    func gain(_ matrix: Sensitivity) -> Double {
      (matrix.offers[0].price - matrix.offers[2].price)
        / Double(matrix.offers[2].byteCount - matrix.offers[0].byteCount)
    }
    let least = matrices.reduce(0) { $0 + $1.offers[0].byteCount }
    let weights = matrices.reduce(0) { $0 + $1.weights }
    let first = try #require(matrices.max { gain($0) < gain($1) })
    let budget = least + first.offers[2].byteCount - first.offers[0].byteCount
    let bits = 8 * Double(budget) / Double(weights) + 1e-9
    let assignments = try BitBudget(targetBits: bits, groupSize: 64).spend(matrices)
    let chosen = matrices.reduce(0.0) { sum, matrix in
      let scheme = assignments[ByteName(matrix.names[0])]?.scheme
      return sum + (matrix.offers.first { $0.scheme == scheme }?.price ?? .infinity)
    }
    let alone = matrices.reduce(0) { $0 + ($1.names == first.names ? $1.offers[2].price : $1.offers[0].price) }
    #expect(chosen <= alone)
  }

  @Test(
    "all that a choice depends on is measured part by part where there are pictures, each by what it alone does",
    arguments: [false, true])
  func pictures(isCalibrated: Bool) throws {
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    let plan = try ConversionPlan(Source.open(path: Fixtures.conformanceCheckpoint), recipe: Recipe(.int4All))
    let budget = BitBudget(targetBits: 5, groupSize: 64)
    let recipe = try Recipe(.int4All)
    let names = try budget.matrices(of: plan, recipe: recipe, withPictures: true)
    let spoken = try budget.matrices(of: plan, recipe: recipe, withPictures: false)
    let seen = names.subtracting(spoken)
    #expect(
      spoken.allSatisfy { $0.text.hasPrefix("model.layers.") } && !seen.contains { $0.text.hasPrefix("model.layers.") })
    let pool = try ThreadPool(threads: 2)
    let calibration = Calibration.bundled(withPhotographs: true)
    let parts = try PictureSensitivityMeter(
      calibration, source, isCalibrated: isCalibrated, pool: pool, mostQuestions: 8
    ).measure(names, schemes: budget.schemes)
    #expect(Set(parts.flatMap(\.names).map { ByteName($0) }) == seen)
    // Token embeddings, the tower's and its two layers, projector, router.
    #expect(parts.count == 6 && parts.contains { $0.names.count == 6 })
    #expect(parts.contains { $0.names == ["model.embed_tokens.weight"] })
    #expect(parts.contains { $0.names.contains("model.router.router.0.weight") })
    for part in parts {
      let prices = part.offers.map(\.price)
      #expect(prices[0] > prices[1] && prices[1] > prices[2] && prices[2] > 0, "\(part.names): \(prices)")
    }
    let silent = Calibration.bundled(withPhotographs: false)
    #expect(
      try PictureSensitivityMeter(silent, source, isCalibrated: isCalibrated, pool: pool)
        .measure(names, schemes: budget.schemes).isEmpty)
    let assignments = try BitBudget(targetBits: 6, groupSize: 64).spend(parts)
    for part in parts { #expect(Set(part.names.map { assignments[ByteName($0)]?.scheme.description }).count == 1) }
    #expect(Set(assignments.values.map(\.scheme.description)).count > 1)
  }

  @Test("a budget that cannot be kept or not be spent is refused, and so is one for nothing")
  func refused() throws {
    let matrices = try Self.measure(BitBudget(targetBits: 5, groupSize: 64))
    for bits in [0, 4, 9, .infinity, .nan] as [Double] {
      let error = try #require(throws: GristError.self) {
        _ = try BitBudget(targetBits: bits, groupSize: 64).spend(matrices)
      }
      #expect(error.code == .usage && error.what.contains("--target-bits must be from 4."), "\(error)")
    }
    // Before anything is measured, too.
    let early = try #require(throws: GristError.self) {
      _ = try BitBudget(targetBits: 9, groupSize: 64).matrices(
        of: Self.plan(), recipe: Recipe(.int4), withPictures: false)
    }
    #expect(early.code == .usage && early.what.contains("--target-bits must be from 4."))
    let recipe = try Recipe(.int8)
    let plan = try ConversionPlan(Source.open(path: Fixtures.conformanceCheckpoint), recipe: recipe)
    let error = try #require(throws: GristError.self) {
      _ = try BitBudget(targetBits: 5, groupSize: 64).matrices(of: plan, recipe: recipe, withPictures: true)
    }
    #expect(error.code == .usage && error.what.contains("nothing to spend on"))
  }
}
