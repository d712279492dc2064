import GristCore
import GristKernels
import TestSupport
import Testing

@Suite("Products of many rows") struct WideProductTests {
  private static let codings = [GroupCoding(), GroupCoding(table: .nonlinear)]

  private func weights(_ coding: GroupCoding, rows: Int, columns: Int, groupSize: Int) throws -> TiledWeights {
    var generator = TestGenerator(seed: 13)
    let values = Bytes(generator.normals(rows * columns).withUnsafeBytes { Array($0) })
    let shape = try #require(TileShape(rows: rows, columns: columns, codes: .int4, groupSize: groupSize))
    let payload = quantizeTiles(values, .f32, shape: shape, coding: coding, prescale: 1).payload
    return try #require(
      TiledWeights(shape: shape, coding: coding, multiplier: 0.5, runs: [payload], tilesPerRun: shape.tiles))
  }

  @Test("from 32 rows on a row's product depends on no row beside it, and not on threads", arguments: codings)
  func rowsTogether(coding: GroupCoding) throws {
    let columns = 600
    let tiled = try weights(coding, rows: 19 * 16 - 3, columns: columns, groupSize: 64)
    var generator = TestGenerator(seed: 14)
    let x = FloatMatrix(rows: 100, columns: columns, values: generator.normals(100 * columns))
    let bias = generator.normals(tiled.rows)
    let all = Compute(pool: try ThreadPool(threads: 2)).linear(x, tiled, bias: bias)
    let alone = Compute(pool: try ThreadPool(threads: 1))
    for range in [0..<32, 5..<38, 60..<100, 31..<95] {
      let some = alone.linear(x.copy(rows: range), tiled, bias: bias)
      for row in range { #expect(some.row(row - range.lowerBound) == all.row(row), "row \(row) of \(range)") }
    }
  }

  /// Errors as shares of the product's energy: int4's own, and those of what is computed with its codes.
  @Test(
    "what rounding over 256 columns adds is about a hundredth of int4's own error", arguments: codings, [32, 64, 128])
  func rounding(coding: GroupCoding, groupSize: Int) throws {
    let (rows, columns) = (200, 1024)
    let tiled = try weights(coding, rows: rows, columns: columns, groupSize: groupSize)
    var generator = TestGenerator(seed: 13)
    let values = generator.normals(rows * columns).map { $0 / 2 }
    let original = try #require(
      PlainWeights(
        rows: rows, columns: columns, bytes: Bytes(values.withUnsafeBytes { Array($0) }), elementType: .f32))
    let x = FloatMatrix(rows: 62, columns: columns, values: generator.normals(62 * columns))
    let pool = try ThreadPool(threads: 2)
    let exact = Compute(pool: pool, activations: .f32).linear(x, tiled)
    func error(of found: FloatMatrix, at first: Int = 0) -> Double {
      var (error, energy) = (0.0, 0.0)
      for row in 0..<found.rows {
        for (a, b) in zip(found.row(row), exact.row(first + row)) {
          error += Double((a - b) * (a - b))
          energy += Double(b * b)
        }
      }
      return error / energy
    }
    let own = error(of: Compute(pool: pool).linear(x, original))
    let many = error(of: Compute(pool: pool).linear(x, tiled))
    let few = [0, 31].map { error(of: Compute(pool: pool).linear(x.copy(rows: $0..<$0 + 31), tiled), at: $0) }
    #expect(own > 0.004 && own < 0.03, "\(own)")
    #expect(few.allSatisfy { $0 < own / 150 } && many < own / 60, "\(few), \(many) of \(own)")
    #expect(many - (few[0] + few[1]) / 2 < own / 80, "\(few), \(many) of \(own)")
  }

  @Test("a value that is not finite is not lost") func notFinite() throws {
    let tiled = try weights(GroupCoding(), rows: 32, columns: 512, groupSize: 64)
    for value in [Float.infinity, .nan] {
      let x = FloatMatrix(rows: 40, columns: 512, values: [Float](repeating: 1, count: 40 * 512))
      x.withMutableRow(7) { $0[300] = value }
      let out = Compute(pool: try ThreadPool(threads: 1)).linear(x, tiled)
      let lost = out.row(7).filter(\.isFinite)
      #expect(lost.isEmpty)
      let kept = out.row(6).filter(\.isFinite)
      #expect(kept.count == 32)
    }
  }
}
