import GristKernels
import GristSources

/// A linear layer with a bias.
public struct BiasedLinear: Sendable {
  let weights: any LinearWeights
  let bias: [Float]

  /// - Throws: 65 when a tensor is missing or has another shape.
  public init(_ store: any ParameterStore, _ tensors: LinearTensors) throws {
    weights = try store.matrix(tensors.weight)
    bias = try store.values(tensors.bias)
  }

  /// Rows [rows, inputs] to [rows, outputs].
  public func callAsFunction(_ x: FloatMatrix, _ compute: Compute) -> FloatMatrix {
    compute.linear(x, weights, bias: bias)
  }
}

/// A LayerNorm.
public struct LayerNorm: Sendable {
  let weight: [Float]
  let bias: [Float]
  let epsilon: Float

  /// - Throws: 65 when a tensor is missing or has another length.
  public init(_ store: any ParameterStore, _ tensors: NormTensors, epsilon: Float) throws {
    weight = try store.values(tensors.weight)
    bias = try store.values(tensors.bias)
    self.epsilon = epsilon
  }

  /// Each row [rows, width] by itself.
  public func callAsFunction(_ x: FloatMatrix, _ compute: Compute) -> FloatMatrix {
    compute.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon)
  }
}
