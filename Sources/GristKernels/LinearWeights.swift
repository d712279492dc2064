import GristCore

/// A weight matrix [rows = outputs, columns = inputs], however it is stored.
public protocol LinearWeights: Sendable {
  var rows: Int { get }
  var columns: Int { get }
  /// Whether the weights are int8 or int4 codes, which meet int8 activations.
  var isQuantized: Bool { get }

  /// Writes the rows `range` as f32, one after the other, to `out`, which has room for them.
  func expand(_ range: Range<Int>, into out: UnsafeMutablePointer<Float>)

  /// out[t, r] = Σ x[t, k] · weight[r, k] (+ bias[r]) for all tokens t and rows r, as work to be done.
  func product(_ input: LinearInput, bias: [Float]?, into out: FloatMatrix, compute: Compute) -> LinearProduct
}

/// A product cut into tasks that write to disjoint memory.
public struct LinearProduct: Sendable {
  let tasks: Int
  let run: @Sendable (_ task: Int, _ worker: Int) -> Void
}

/// What enters one or several linear layers: it is quantized once, whoever uses it.
public final class LinearInput {
  public let x: FloatMatrix
  private var quantized: [Key: QuantizedActivations] = [:]

  private struct Key: Hashable {
    let groupSize: Int
    let rotation: Rotation
  }

  public init(_ x: FloatMatrix) { self.x = x }

  func quantized(groupSize: Int, rotation: Rotation = .none, _ compute: Compute) -> QuantizedActivations {
    let key = Key(groupSize: groupSize, rotation: rotation)
    if let ready = quantized[key] { return ready }
    let made = QuantizedActivations(x, groupSize: groupSize, rotation: rotation, compute: compute)
    quantized[key] = made
    return made
  }
}

extension Compute {
  /// x · weightᵀ (+ bias): [tokens, columns] → [tokens, rows].
  public func linear(_ x: FloatMatrix, _ weights: any LinearWeights, bias: [Float]? = nil) -> FloatMatrix {
    linear(x, [(weights, bias)])[0]
  }

  /// The products of one input with several matrices, each with its bias or none, computed together.
  ///
  /// - Precondition: `x` is as wide as every layer's weights, and a bias has a value a row.
  public func linear(_ x: FloatMatrix, _ layers: [(weights: any LinearWeights, bias: [Float]?)]) -> [FloatMatrix] {
    let input = LinearInput(x)
    var products: [LinearProduct] = []
    let results = layers.map { weights, bias in
      precondition(x.columns == weights.columns, "a linear layer's input is as wide as its weights")
      precondition(bias == nil || bias?.count == weights.rows)
      let out = FloatMatrix(uninitializedRows: x.rows, columns: weights.rows)
      if x.rows > 0 { products.append(weights.product(input, bias: bias, into: out, compute: self)) }
      return out
    }
    let begun = products
    pool.run(begun.reduce(0) { $0 + $1.tasks }) { task, worker in
      var task = task
      for product in begun {
        if task < product.tasks { return product.run(task, worker) }
        task -= product.tasks
      }
    }
    for result in results { round(result) }
    return results
  }
}

extension LinearWeights {
  /// One row as f32.
  ///
  /// - Precondition: `index` lies in `0 ..< rows`.
  public func row(_ index: Int) -> [Float] {
    precondition(index >= 0 && index < rows)
    return [Float](unsafeUninitializedCapacity: columns) { buffer, count in
      if let base = buffer.baseAddress { expand(index..<index + 1, into: base) }
      count = columns
    }
  }

  /// The product by way of f32: blocks of rows are expanded into a scratch buffer and multiplied by OpenBLAS. The
  /// blocks do not depend on the number of threads, so neither do the sums.
  func expandedProduct(
    _ x: FloatMatrix, bias: [Float]?, into out: FloatMatrix, compute: Compute
  ) -> LinearProduct {
    let blockRows = rowsTogether(tokens: x.rows)
    let scratch = FloatMatrix(uninitializedRows: compute.pool.threadCount, columns: blockRows * columns)
    return LinearProduct(tasks: (rows + blockRows - 1) / blockRows) { block, worker in
      let range = block * blockRows..<min((block + 1) * blockRows, rows)
      let expanded = scratch.base + worker * scratch.columns
      expand(range, into: expanded)
      multiplyTransposed(
        rows: x.rows, columns: range.count, inner: columns, a: x.base, aStride: columns, b: expanded,
        bStride: columns, out: out.base + range.lowerBound, outStride: out.columns)
      if let bias { addBias(bias, range, to: out) }
    }
  }

  /// How many rows of weights are multiplied at a time: as many as stay in a core's cache. But every block packs all
  /// tokens anew, so where those are many it is larger; and there are four blocks or a multiple, so that threads end
  /// together. No number of threads changes it, nor so what is computed.
  private func rowsTogether(tokens: Int) -> Int {
    func rows(of weights: Int, atMost most: Int) -> Int { min(max(16, weights / max(columns, 1) / 16 * 16), most) }
    guard tokens > 256 else { return rows(of: 1 << 18, atMost: 256) }
    let most = rows(of: 1 << 21, atMost: 512)
    let blocks = ((self.rows + most - 1) / most + 3) / 4 * 4
    return max(16, ((self.rows + blocks - 1) / max(blocks, 1) + 15) / 16 * 16)
  }

  func addBias(_ bias: [Float], _ range: Range<Int>, to out: FloatMatrix) {
    bias.withUnsafeBufferPointer { bias in
      guard let address = bias.baseAddress else { return }
      for token in 0..<out.rows {
        kernels.add(out.base + token * out.columns + range.lowerBound, address + range.lowerBound, range.count)
      }
    }
  }
}
