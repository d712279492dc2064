import GristKernels

/// A linear layer with a bias.
struct BiasedLinear: Sendable {
  let weights: any LinearWeights
  let bias: [Float]

  init(_ store: some ParameterStore, _ name: String, rows: Int, columns: Int) throws {
    weights = try store.matrix(name + ".weight", rows: rows, columns: columns)
    bias = try store.values(name + ".bias", count: rows)
  }

  init(weights: any LinearWeights, bias: [Float]) {
    self.weights = weights
    self.bias = bias
  }

  func callAsFunction(_ x: FloatMatrix, _ compute: Compute) -> FloatMatrix {
    compute.linear(x, weights, bias: bias)
  }
}

/// A LayerNorm.
struct LayerNorm: Sendable {
  let weight: [Float]
  let bias: [Float]
  let epsilon: Float

  init(_ store: some ParameterStore, _ name: String, width: Int, epsilon: Float) throws {
    weight = try store.values(name + ".weight", count: width)
    bias = try store.values(name + ".bias", count: width)
    self.epsilon = epsilon
  }

  func callAsFunction(_ x: FloatMatrix, _ compute: Compute) -> FloatMatrix {
    compute.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon)
  }
}
