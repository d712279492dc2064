import Foundation
import GristCore
import GristKernels
import Testing

@Suite("Attention") struct AttentionTests {
  private func matrix(_ rows: Int, _ columns: Int, seed: UInt64) -> FloatMatrix {
    var state = seed
    let values = (0..<rows * columns).map { _ -> Float in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(Int32(truncatingIfNeeded: state >> 33)) / Float(Int32.max)
    }
    return FloatMatrix(rows: rows, columns: columns, values: values)
  }

  /// Softmax attention in f64, one head.
  private func expected(_ q: [Float], _ keys: FloatMatrix, _ values: FloatMatrix, head: Range<Int>) -> [Double] {
    let scores = (0..<keys.rows).map { key -> Double in
      let row = keys.row(key)
      return zip(head, q).reduce(0) { $0 + Double(row[$1.0]) * Double($1.1) } / Double(head.count).squareRoot()
    }
    let weights = scores.map { exp($0 - (scores.max() ?? 0)) }
    let total = weights.reduce(0, +)
    var out = [Double](repeating: 0, count: head.count)
    for key in 0..<keys.rows {
      let row = values.row(key)
      for (index, column) in head.enumerated() { out[index] += weights[key] / total * Double(row[column]) }
    }
    return out
  }

  // Lengths whose last block of queries is a few, or one: CLIP's 36,865 positions made blocks of 192 and one of one.
  @Test(
    "Fault 1: attention's scratch is enough for every block of queries",
    arguments: [1, 4, 5, 17, 191, 192, 193, 196, 385, 577, 28_801], [(heads: 1, dimension: 32), (2, 20), (3, 1)])
  func lastBlocks(length: Int, heads: (heads: Int, dimension: Int)) throws {
    let compute = Compute(pool: try ThreadPool(threads: 2))
    let width = heads.heads * heads.dimension
    // Few rows are checked of a long sequence; all of them are computed.
    let checked = length <= 600 ? length : 8
    let (q, k, v) = (matrix(length, width, seed: 1), matrix(length, width, seed: 2), matrix(length, width, seed: 3))
    guard length <= 600 || heads.dimension == 32 else { return }
    let layout = SequenceLayout.consecutive(sequences: 1, length: length)
    let queryLayout = length <= 600 ? layout : .consecutive(sequences: 1, length: 193)
    let out = compute.attention(
      queries: HeadRows(length <= 600 ? q : q.copy(rows: 0..<193), dimension: heads.dimension),
      keys: HeadRows(k, dimension: heads.dimension), values: HeadRows(v, dimension: heads.dimension),
      heads: AttentionHeads(count: heads.heads, keyValueCount: heads.heads, dimension: heads.dimension),
      queryLayout: queryLayout, keyLayout: layout)
    for row in stride(from: out.rows - 1, through: 0, by: -max(1, out.rows / checked)) {
      for head in 0..<heads.heads {
        let columns = head * heads.dimension..<(head + 1) * heads.dimension
        let truth = expected(Array(q.row(row)[columns]), k, v, head: columns)
        for (index, column) in columns.enumerated() {
          #expect(abs(Double(out[row, column]) - truth[index]) < 1e-4)
        }
      }
    }
  }

  @Test("products of bf16 are for quantized weights on int8 activations alone, and cost a bf16's last bit")
  func narrowing() throws {
    let pool = try ThreadPool(threads: 2)
    let compute = Compute(pool: pool)
    #expect(compute.mayNarrow(isQuantized: true))
    #expect(!compute.mayNarrow(isQuantized: false))
    #expect(!Compute(pool: pool, activations: .f32).mayNarrow(isQuantized: true))
    #expect(!Compute(pool: pool, rounding: .float16).mayNarrow(isQuantized: true))

    let (q, k, v) = (matrix(200, 64, seed: 1), matrix(200, 64, seed: 2), matrix(200, 64, seed: 3))
    let layout = SequenceLayout.consecutive(sequences: 1, length: 200)
    func attended(mayNarrow: Bool) -> FloatMatrix {
      compute.attention(
        queries: HeadRows(q, dimension: 32), keys: HeadRows(k, dimension: 32), values: HeadRows(v, dimension: 32),
        heads: AttentionHeads(count: 2, keyValueCount: 2, dimension: 32), queryLayout: layout, keyLayout: layout,
        causalOffset: 0, mayNarrow: mayNarrow)
    }
    let (wide, narrow) = (attended(mayNarrow: false), attended(mayNarrow: true))
    var greatest: Float = 0
    for row in 0..<200 {
      for column in 0..<64 { greatest = max(greatest, abs(wide[row, column] - narrow[row, column])) }
    }
    #expect(greatest < 0x1p-7)
    #expect(!Compute.instructionSet.hasSuffix("bf16") || greatest > 0x1p-14)
  }

  @Test("keys that come one by one are kept as the store grows")
  func growingStore() throws {
    let compute = Compute(pool: try ThreadPool(threads: 1))
    let heads = AttentionHeads(count: 2, keyValueCount: 2, dimension: 16)
    let rows = matrix(40, 32, seed: 4)
    for precision in CachePrecision.allCases {
      let (grown, roomy) = (
        HeadStore(heads: heads, capacity: 1, precision: precision),
        HeadStore(heads: heads, capacity: 40, precision: precision)
      )
      roomy.store(rows, at: 0, compute)
      for row in 0..<40 { grown.store(rows.copy(rows: row..<row + 1), at: row, compute) }
      #expect(grown.capacity < 80)
      let layout = SequenceLayout.consecutive(sequences: 1, length: 40)
      func attend(_ store: HeadStore) -> FloatMatrix {
        compute.attention(
          queries: HeadRows(rows, dimension: 16), keys: store.rows, values: store.rows, heads: heads,
          queryLayout: layout, keyLayout: layout)
      }
      let (a, b) = (attend(grown), attend(roomy))
      for row in 0..<40 { #expect(a.row(row) == b.row(row)) }
    }
  }

  @Test(
    "keys and values kept as int8 give what f32 gives to a hundredth, channels that stand out too, in half of f16's memory",
    arguments: [16, 64, 80, 128])
  func codes(dimension: Int) throws {
    let compute = Compute(pool: try ThreadPool(threads: 2))
    let heads = AttentionHeads(count: 4, keyValueCount: 2, dimension: dimension)
    let (queries, keys, values) = (
      matrix(70, 4 * dimension, seed: 7), matrix(70, 2 * dimension, seed: 8), matrix(70, 2 * dimension, seed: 9)
    )
    // Sharp enough that what is lost of a score shows.
    for row in 0..<queries.rows { queries.withMutableRow(row) { row in for i in row.indices { row[i] *= 4 } } }
    // A channel of the keys far from 0 for every token, as trained models have: turned, it is spread over its block.
    if dimension % 64 == 0 {
      for row in 0..<keys.rows { keys.withMutableRow(row) { $0[5] += 60 } }
    }
    let layout = SequenceLayout.consecutive(sequences: 1, length: 70)
    func attend(_ precision: CachePrecision) -> FloatMatrix {
      let stores = [keys, values].map { rows in
        let store = HeadStore(heads: heads, capacity: 3, precision: precision)
        store.store(rows, at: 0, compute)
        return store
      }
      return compute.attention(
        queries: HeadRows(queries, dimension: dimension), keys: stores[0].rows, values: stores[1].rows, heads: heads,
        queryLayout: layout, keyLayout: layout, causalOffset: 0)
    }
    let (exact, coded) = (attend(.f32), attend(.int8))
    var (squares, errors) = (0.0, 0.0)
    for row in 0..<exact.rows {
      for (a, b) in zip(exact.row(row), coded.row(row)) {
        squares += Double(a * a)
        errors += Double((a - b) * (a - b))
      }
    }
    #expect(errors > 0 && (errors / squares).squareRoot() < 0.012, "\((errors / squares).squareRoot())")
    let bytes = [CachePrecision.int8, .f16].map {
      HeadStore(heads: heads, capacity: 1, precision: $0).bytesPerRow
    }
    #expect(bytes[0] <= bytes[1] / 2 + 2 * 4)
  }
}
