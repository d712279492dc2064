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
}
