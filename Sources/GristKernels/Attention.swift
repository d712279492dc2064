internal import CGristKernels
import GristCore

/// Heads of a multi-head attention. With fewer key-value heads than heads, neighbouring heads share one (GQA).
package struct AttentionHeads: Sendable {
  package let count: Int
  package let keyValueCount: Int
  package let dimension: Int

  /// - Precondition: Counts and dimension are positive, and `count` is a multiple of `keyValueCount`.
  package init(count: Int, keyValueCount: Int, dimension: Int) {
    precondition(count > 0 && keyValueCount > 0 && count % keyValueCount == 0 && dimension > 0)
    self.count = count
    self.keyValueCount = keyValueCount
    self.dimension = dimension
  }
}

/// How the rows of a matrix form sequences: element i of sequence s is row `s · sequenceStride + i · elementStride`.
package struct SequenceLayout: Sendable {
  package let sequences: Int
  package let length: Int
  package let sequenceStride: Int
  package let elementStride: Int

  package init(sequences: Int, length: Int, sequenceStride: Int, elementStride: Int) {
    self.sequences = sequences
    self.length = length
    self.sequenceStride = sequenceStride
    self.elementStride = elementStride
  }

  /// Rows that stand one after the other, `length` to a sequence.
  package static func consecutive(sequences: Int, length: Int) -> SequenceLayout {
    SequenceLayout(sequences: sequences, length: length, sequenceStride: length, elementStride: 1)
  }

  /// Number of rows that the layout reaches into.
  var rowCount: Int { (sequences - 1) * sequenceStride + (length - 1) * elementStride + 1 }
}

/// Where the queries, keys or values of all heads lie: rows of f32, f16 or int8 codes, head by head.
package struct HeadRows: Sendable {
  /// Keeps the memory alive.
  private let owner: any AnyObject & Sendable
  // Read-only, and owned: unsafe in name only.
  nonisolated(unsafe) private let base: UnsafeRawPointer
  let precision: CachePrecision
  // As the rows'.
  nonisolated(unsafe) private let scales: UnsafePointer<Float>?
  /// Whether each block of 64 values was turned before it was kept.
  let rotation: Rotation
  let rows: Int
  /// Elements from a row to the next, and from a head to the next.
  let rowStride: Int
  private let headStride: Int
  /// Heads that a row holds, and the width of each.
  let heads: Int
  let dimension: Int

  /// Columns of a matrix from `firstColumn` on, `dimension` to a head.
  ///
  /// - Precondition: The first column and a head's width lie in the matrix.
  package init(_ matrix: FloatMatrix, firstColumn: Int = 0, dimension: Int) {
    precondition(firstColumn >= 0 && dimension > 0 && firstColumn + dimension <= matrix.columns)
    owner = matrix
    base = UnsafeRawPointer(matrix.base + firstColumn)
    precision = .f32
    scales = nil
    rotation = .none
    rows = matrix.rows
    rowStride = matrix.columns
    headStride = dimension
    heads = (matrix.columns - firstColumn) / dimension
    self.dimension = dimension
  }

  /// `rows` rows of each head, one head after the other; `scales`, where there are any, in the same order, one a row.
  init(
    owner: any AnyObject & Sendable, base: UnsafeRawPointer, scales: UnsafePointer<Float>?, precision: CachePrecision,
    rotation: Rotation, rows: Int, rowStride: Int, heads: AttentionHeads
  ) {
    self.owner = owner
    self.base = base
    self.scales = scales
    self.precision = precision
    self.rotation = rotation
    self.rows = rows
    self.rowStride = rowStride
    headStride = rows * rowStride
    self.heads = heads.keyValueCount
    dimension = heads.dimension
  }

  /// The address of one head's part of one row.
  func address(head: Int, row: Int) -> UnsafeRawPointer {
    base + (head * headStride + row * rowStride) * precision.byteCount
  }

  /// Where the scales of one head's rows from `row` on are; nil where rows have none.
  func scales(head: Int, row: Int) -> UnsafePointer<Float>? { scales.map { $0 + head * rows + row } }
}

extension Compute {
  /// Scaled dot-product attention, softmax(q·kᵀ/√d)·v, for every sequence and head, summed in f32.
  ///
  /// - Parameters:
  ///   - queries: rows laid out by `queryLayout`, f32.
  ///   - keys: rows laid out by `keyLayout`.
  ///   - values: as the keys, and of their kind.
  ///   - heads: how many heads rows hold, and how wide they are.
  ///   - queryLayout: where the rows of each sequence are; of as many sequences as `keyLayout`.
  ///   - keyLayout: likewise, for keys and values.
  ///   - causalOffset: nil lets every query see every key; otherwise query i sees keys 0 ... causalOffset + i.
  ///   - window: how many of the keys that a query would see it sees at most, the last ones; nil for all.
  ///   - mayNarrow: whether queries, keys, values and softmax weights may be rounded to bf16 before they are
  ///     multiplied, which is done where the CPU has dot products of them and there are many queries; see
  ///     ``mayNarrow(isQuantized:)``.
  ///
  /// Where the keys were turned, the queries are turned too, which leaves every product as it is.
  ///
  /// - Returns: rows laid out as the queries are, `heads.count · heads.dimension` wide.
  /// - Precondition: Rows, heads and layouts go together as said; anything else traps.
  package func attention(
    queries: HeadRows, keys: HeadRows, values: HeadRows, heads: AttentionHeads, queryLayout: SequenceLayout,
    keyLayout: SequenceLayout, causalOffset: Int? = nil, window: Int? = nil, mayNarrow: Bool = false
  ) -> FloatMatrix {
    precondition(queryLayout.sequences == keyLayout.sequences && window.map { $0 > 0 } ?? true)
    precondition(queries.precision == .f32 && keys.precision == values.precision && keys.rowStride == values.rowStride)
    precondition(keys.rotation == values.rotation && (keys.precision != .int8 || keyLayout.elementStride == 1))
    precondition(queryLayout.rowCount <= queries.rows)
    precondition(keyLayout.rowCount <= keys.rows && keyLayout.rowCount <= values.rows)
    precondition(queries.heads >= heads.count && min(keys.heads, values.heads) >= heads.keyValueCount)
    precondition([queries, keys, values].allSatisfy { $0.dimension == heads.dimension })

    let queries = keys.rotation == .none ? queries : turned(queries, heads)
    let width = heads.count * heads.dimension
    let out = FloatMatrix(uninitializedRows: queries.rows, columns: width)
    // Blocks of equal size, none greater than what the kernel computes at once.
    let blocks = (queryLayout.length + 191) / 192
    let blockLength = ((queryLayout.length + blocks - 1) / max(blocks, 1) + 7) / 8 * 8
    let scratch = FloatMatrix(
      uninitializedRows: pool.threadCount,
      columns: kernels.attention_scratch(
        heads.dimension, blockLength, keyLayout.length))
    let scale = 1 / Float(heads.dimension).squareRoot()
    let sharing = heads.count / heads.keyValueCount

    pool.run(queryLayout.sequences * heads.count * blocks) { task, worker in
      let first = task % blocks * blockLength
      let count = min(blockLength, queryLayout.length - first)
      guard count > 0 else { return }
      let head = task / blocks % heads.count
      let sequence = task / blocks / heads.count
      let queryRow = sequence * queryLayout.sequenceStride + first * queryLayout.elementStride
      let keyRow = sequence * keyLayout.sequenceStride
      let seen = causalOffset.map { min($0 + first + 1, keyLayout.length) } ?? keyLayout.length
      var attention = grist_attention(
        queries: queries.address(head: head, row: queryRow).assumingMemoryBound(to: Float.self),
        query_stride: queryLayout.elementStride * queries.rowStride, count: count,
        keys: keys.address(head: head / sharing, row: keyRow),
        values: values.address(head: head / sharing, row: keyRow),
        key_stride: keyLayout.elementStride * keys.rowStride, kept: keys.precision.kept,
        key_scales: keys.scales(head: head / sharing, row: keyRow),
        value_scales: values.scales(head: head / sharing, row: keyRow), length: keyLayout.length,
        first_seen: seen, seen_step: causalOffset == nil ? 0 : 1, window: window ?? 0, dimension: heads.dimension,
        scale: scale, may_narrow: mayNarrow,
        out: out.base + queryRow * width + head * heads.dimension, out_stride: queryLayout.elementStride * width,
        scratch: scratch.base + worker * scratch.columns)
      kernels.attend(&attention)
    }
    // What was turned on its way into the cache is turned back behind it, once a row instead of once a key.
    if keys.rotation != .none { turn(out) }
    round(out)
    return out
  }

  /// Queries with each block of 64 values of every head turned.
  private func turned(_ queries: HeadRows, _ heads: AttentionHeads) -> HeadRows {
    let (count, dimension) = (heads.count, heads.dimension)
    let copy = FloatMatrix(uninitializedRows: queries.rows, columns: count * dimension)
    overRows(copy.rows, cost: copy.columns) { range in
      for row in range {
        for head in 0..<count {
          kernels.rotate_blocks(
            queries.address(head: head, row: row).assumingMemoryBound(to: Float.self),
            copy.base + row * copy.columns + head * dimension, dimension)
        }
      }
    }
    return HeadRows(copy, dimension: dimension)
  }

  /// Turns every block of 64 columns in place.
  private func turn(_ rows: FloatMatrix) {
    overRows(rows.rows, cost: rows.columns) { range in
      GroupCoding(rotation: .hadamard64).rotate(
        rows.base + range.lowerBound * rows.columns, count: range.count, columns: rows.columns)
    }
  }
}
