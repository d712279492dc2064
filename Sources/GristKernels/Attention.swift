import CGristKernels
import GristCore

/// Heads of a multi-head attention. With fewer key-value heads than heads, neighbouring heads share one (GQA).
public struct AttentionHeads: Sendable {
  public let count: Int
  public let keyValueCount: Int
  public let dimension: Int

  public init(count: Int, keyValueCount: Int, dimension: Int) {
    precondition(count > 0 && keyValueCount > 0 && count % keyValueCount == 0 && dimension > 0)
    self.count = count
    self.keyValueCount = keyValueCount
    self.dimension = dimension
  }
}

/// How the rows of a matrix form sequences: element i of sequence s is row `s · sequenceStride + i · elementStride`.
public struct SequenceLayout: Sendable {
  public let sequences: Int
  public let length: Int
  public let sequenceStride: Int
  public let elementStride: Int

  public init(sequences: Int, length: Int, sequenceStride: Int, elementStride: Int) {
    self.sequences = sequences
    self.length = length
    self.sequenceStride = sequenceStride
    self.elementStride = elementStride
  }

  /// Rows that stand one after the other, `length` to a sequence.
  public static func consecutive(sequences: Int, length: Int) -> SequenceLayout {
    SequenceLayout(sequences: sequences, length: length, sequenceStride: length, elementStride: 1)
  }

  /// Number of rows that the layout reaches into.
  var rowCount: Int { (sequences - 1) * sequenceStride + (length - 1) * elementStride + 1 }
}

/// Columns of a matrix that hold all heads of a query, key or value.
public struct HeadColumns: Sendable {
  public let matrix: FloatMatrix
  public let firstColumn: Int

  public init(_ matrix: FloatMatrix, firstColumn: Int = 0) {
    self.matrix = matrix
    self.firstColumn = firstColumn
  }
}

extension Compute {
  /// Scaled dot-product attention, softmax(q·kᵀ/√d)·v, for every sequence and head, in f32.
  ///
  /// - Parameters:
  ///   - queries, keys, values: rows laid out by `queryLayout` and `keyLayout` (which have the same sequences).
  ///   - causalOffset: nil lets every query see every key; otherwise query i sees keys 0 ... causalOffset + i.
  /// - Returns: rows laid out as the queries are, `heads.count · heads.dimension` wide.
  public func attention(
    queries: HeadColumns, keys: HeadColumns, values: HeadColumns, heads: AttentionHeads, queryLayout: SequenceLayout,
    keyLayout: SequenceLayout, causalOffset: Int? = nil
  ) -> FloatMatrix {
    let width = heads.count * heads.dimension
    let keyWidth = heads.keyValueCount * heads.dimension
    precondition(queryLayout.sequences == keyLayout.sequences)
    precondition(queries.firstColumn + width <= queries.matrix.columns)
    precondition(keys.firstColumn + keyWidth <= keys.matrix.columns)
    precondition(values.firstColumn + keyWidth <= values.matrix.columns)
    precondition(queryLayout.rowCount <= queries.matrix.rows)
    precondition(keyLayout.rowCount <= keys.matrix.rows && keyLayout.rowCount <= values.matrix.rows)

    let out = FloatMatrix(rows: queries.matrix.rows, columns: width)
    let blockLength = min(queryLayout.length, 128)
    let blocks = (queryLayout.length + blockLength - 1) / blockLength
    let scratch = FloatMatrix(rows: pool.threadCount, columns: blockLength * keyLayout.length)
    let scale = 1 / Float(heads.dimension).squareRoot()
    let sharing = heads.count / heads.keyValueCount

    pool.run(queryLayout.sequences * heads.count * blocks) { task, worker in
      let block = task % blocks
      let head = task / blocks % heads.count
      let sequence = task / blocks / heads.count
      let first = block * blockLength
      let count = min(blockLength, queryLayout.length - first)
      let visible = causalOffset.map { min($0 + first + count, keyLayout.length) } ?? keyLayout.length
      let queryRow = sequence * queryLayout.sequenceStride + first * queryLayout.elementStride
      let keyRow = sequence * keyLayout.sequenceStride
      let headColumn = head * heads.dimension
      let keyColumn = head / sharing * heads.dimension
      let scores = scratch.base + worker * scratch.columns

      multiplyTransposed(
        rows: count, columns: visible, inner: heads.dimension, scale: scale,
        a: queries.matrix.base + queryRow * queries.matrix.columns + queries.firstColumn + headColumn,
        aStride: queryLayout.elementStride * queries.matrix.columns,
        b: keys.matrix.base + keyRow * keys.matrix.columns + keys.firstColumn + keyColumn,
        bStride: keyLayout.elementStride * keys.matrix.columns, out: scores, outStride: visible)
      for query in 0..<count {
        let seen = causalOffset.map { min($0 + first + query + 1, visible) } ?? visible
        let row = scores + query * visible
        kernels.softmax(row, seen)
        if seen < visible { (row + seen).update(repeating: 0, count: visible - seen) }
      }
      multiplyMatrices(
        rows: count, columns: heads.dimension, inner: visible, a: scores, aStride: visible,
        b: values.matrix.base + keyRow * values.matrix.columns + values.firstColumn + keyColumn,
        bStride: keyLayout.elementStride * values.matrix.columns,
        out: out.base + queryRow * width + headColumn, outStride: queryLayout.elementStride * width)
    }
    return out
  }
}
