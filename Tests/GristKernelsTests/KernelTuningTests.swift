import GristCore
import GristKernels
import TestSupport
import Testing

/// One after the other: a tuning is the whole process's.
@Suite("What suits a CPU", .serialized) struct KernelTuningTests {
  @Test("no setting changes a result") func results() throws {
    defer { KernelTuning.builtIn.tuning.use() }
    let (rows, columns) = (50 * 16 - 5, 1024)
    var generator = TestGenerator(seed: 21)
    let values = Bytes(generator.normals(rows * columns).withUnsafeBytes { Array($0) })
    let x = FloatMatrix(rows: 40, columns: columns, values: generator.normals(40 * columns))
    let compute = Compute(pool: try ThreadPool(threads: 2))
    let weights = try CodeWidth.allCases.map { codes in
      let shape = try #require(TileShape(rows: rows, columns: columns, codes: codes, groupSize: 64))
      let payload = quantizeTiles(values, .f32, shape: shape, coding: GroupCoding(), prescale: 1).payload
      return try #require(TiledWeights(shape: shape, multiplier: 1, runs: [payload], tilesPerRun: shape.tiles))
    }
    func products() -> [[Float]] {
      weights.flatMap { weights in
        [1, 5, 31, 40].flatMap { count in
          let out = compute.linear(x.copy(rows: 0..<count), weights)
          return (0..<count).map(out.row)
        }
      }
    }
    KernelTuning.builtIn.tuning.use()
    let usual = products()
    for tuning in [
      KernelTuning(
        int8Hint: .none, int4Hint: .all, distance: 0, int8BlockBytes: 1, int4BlockBytes: 1, loneTiles: 1),
      KernelTuning(
        int8Hint: .past, int4Hint: .none, distance: 1 << 20, int8BlockBytes: 1 << 20, int4BlockBytes: 1 << 20,
        loneTiles: 4096),
      KernelTuning(
        int8Hint: .second, int4Hint: .past, distance: 100, int8BlockBytes: 70_000, int4BlockBytes: 70_000, loneTiles: 3),
      KernelTuning(
        int8Hint: .all, int4Hint: .second, distance: 4096, int8BlockBytes: 0, int4BlockBytes: 0, loneTiles: 32),
      KernelTuning(
        int8Hint: .pages, int4Hint: .pages, distance: 12_288, int8BlockBytes: 0, int4BlockBytes: 0, loneTiles: 32),
    ] {
      tuning.use()
      #expect(KernelTuning.inUse == tuning)
      #expect(products() == usual, "\(tuning)")
    }
  }

  @Test("a tuning is kept for this machine and so many threads") func kept() throws {
    let folder = try TemporaryFolder()
    let file = TuningFile(path: folder.file("cache/gristmill/tuning.json"))
    #expect(try file.tuning(threads: 2) == nil)
    var tuning = KernelTuning.builtIn.tuning
    tuning.distance = 12_345
    try file.keep(tuning, threads: 2)
    #expect(try file.tuning(threads: 2) == tuning)
    #expect(try file.tuning(threads: 3) == nil)

    let below = TuningFile(path: file.path + "/gristmill/tuning.json")
    let refused = #expect(throws: GristError.self) { try below.keep(tuning, threads: 2) }
    #expect(refused?.code == .inputOutput)

    let text = try #require(readFile(file.path).utf8)
    try folder.write("other.json", Array(text.replacing(KernelTuning.machine, with: "another").utf8))
    #expect(try TuningFile(path: folder.file("other.json")).tuning(threads: 2) == nil)
    for (what, with) in [
      ("12345", "-1"), ("12345", "1e9"), ("\"int8_hint\":\"", "\"int8_hint\":\"x"),
      ("\"int4_hint\":\"", "\"int4_hint\":\"x"), ("{", "["),
    ] {
      try folder.write("damaged.json", Array(text.replacing(what, with: with).utf8))
      let error = #expect(throws: GristError.self, "\(with)") {
        try TuningFile(path: folder.file("damaged.json")).tuning(threads: 2)
      }
      #expect(error?.code == .badData)
    }
  }

  @Test("every setting is tried, one of its candidates taken, and what is found is in use") func tuner() throws {
    defer { KernelTuning.builtIn.tuning.use() }
    let found = try KernelTuner(pool: try ThreadPool(threads: 2), bytes: 4 << 20).run(
      from: KernelTuning.builtIn.tuning, rounds: 1)
    #expect(found.steps.count >= 5)
    for step in found.steps {
      #expect(
        step.candidates.count { $0.isTaken } == 1 && step.candidates.allSatisfy { $0.rate > 0 }, "\(step.setting)")
    }
    #expect(KernelTuning.inUse == found.tuning)
  }
}
