import GristCore
import GristKernels
import TestSupport
import Testing

@Suite("Weights in tiles") struct TiledWeightsTests {
  /// Every length of run cuts the matrix into other pieces, and every piece's end into other kernels.
  @Test("a product is the same however the tiles are cut into runs", arguments: CodeWidth.allCases, [1, 7, 40])
  func runs(codes: CodeWidth, tokens: Int) throws {
    let (rows, columns) = (19 * 16 - 3, 128)
    var generator = TestGenerator(seed: 11)
    let weights = generator.normals(rows * columns)
    let x = FloatMatrix(rows: tokens, columns: columns, values: generator.normals(tokens * columns))
    let bias = generator.normals(rows)
    let compute = Compute(pool: try ThreadPool(threads: 2))
    let wide = try #require(
      CodeTable([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]))
    let codings =
      codes.takesTable
      ? [GroupCoding(), GroupCoding(table: .nonlinear), GroupCoding(table: wide)] : [GroupCoding()]
    for coding in codings {
      func product(tilesPerRun: Int) throws -> [Float] {
        let rowsPerRun = tilesPerRun * TileShape.kernelTileRows
        let runs = try stride(from: 0, to: rows, by: rowsPerRun).map { first in
          let part = weights[first * columns..<min(first + rowsPerRun, rows) * columns]
          let shape = try #require(
            TileShape(rows: part.count / columns, columns: columns, codes: codes, groupSize: 64))
          let bytes = Bytes(Array(part).withUnsafeBytes { Array($0) })
          return quantizeTiles(bytes, .f32, shape: shape, coding: coding, prescale: 1).payload
        }
        let shape = try #require(TileShape(rows: rows, columns: columns, codes: codes, groupSize: 64))
        let tiled = try #require(
          TiledWeights(shape: shape, coding: coding, multiplier: 1, runs: runs, tilesPerRun: tilesPerRun))
        let out = compute.linear(x, tiled, bias: bias)
        return (0..<tokens).flatMap { Array(out.row($0)) }
      }
      let whole = try product(tilesPerRun: 19)
      #expect(!whole.contains { $0.isNaN })
      for tilesPerRun in [1, 2, 3, 4, 5, 7, 11, 18, 100] {
        #expect(try product(tilesPerRun: tilesPerRun) == whole, "\(tilesPerRun) tiles a run")
      }
    }
  }

  /// What a row becomes depends on no row beside it, as long as there are few: drafts and batches rest on it.
  @Test("a row's product is the same alone and beside up to 30 others", arguments: CodeWidth.allCases)
  func rowsTogether(codes: CodeWidth) throws {
    let (rows, columns) = (19 * 16 - 3, 320)
    var generator = TestGenerator(seed: 12)
    let weights = Bytes(generator.normals(rows * columns).withUnsafeBytes { Array($0) })
    let x = FloatMatrix(rows: 31, columns: columns, values: generator.normals(31 * columns))
    let compute = Compute(pool: try ThreadPool(threads: 2))
    let shape = try #require(TileShape(rows: rows, columns: columns, codes: codes, groupSize: 64))
    for coding in codes.takesTable ? [GroupCoding(), GroupCoding(table: .nonlinear)] : [GroupCoding()] {
      let payload = quantizeTiles(weights, .f32, shape: shape, coding: coding, prescale: 1).payload
      let tiled = try #require(
        TiledWeights(shape: shape, coding: coding, multiplier: 1, runs: [payload], tilesPerRun: shape.tiles))
      let alone = (0..<x.rows).map { compute.linear(x.copy(rows: $0..<$0 + 1), tiled).row(0) }
      for count in 2...31 {
        let together = compute.linear(x.copy(rows: 0..<count), tiled)
        for row in 0..<count { #expect(together.row(row) == alone[row], "row \(row) of \(count)") }
      }
    }
  }
}
