/// How a model decides what a picture's tiles become, as its configuration says it: one of the things that a family may
/// bring of its own. What computes it, `RunnableRouting`, belongs to the model.
public protocol Routing: Sendable {
  /// The router's tensors, in execution order, under canonical names; they are of the part ``ModelPart/router``.
  var tensors: [ExpectedTensor] { get }
}

/// AVG-LLaVA's router: one choice for the whole picture, made with the prompt's text (arXiv 2410.02745).
///
/// Features at all granularities and the text that is closest to the picture go through one transformer layer whose
/// attention runs across the tiles; what each position says is weighed by a voter.
public struct GranularityRouting: Routing {
  /// Visual tokens a tile of each output, in order.
  public let granularities: [Int]
  /// How many of the prompt's tokens the router sees.
  public let filteredTextTokens: Int
  /// Heads of the merger's attention.
  public let heads: Int
  /// Epsilon of its LayerNorms, as in PyTorch's default.
  public let layerNormEpsilon: Float
  /// Width of features and text, and of the feed-forward layer.
  public let width: Int
  /// Patches along one side of a tile.
  public let side: Int

  public init(
    granularities: [Int], filteredTextTokens: Int, heads: Int, layerNormEpsilon: Float = 1e-5, width: Int, side: Int
  ) {
    self.granularities = granularities
    self.filteredTextTokens = filteredTextTokens
    self.heads = heads
    self.layerNormEpsilon = layerNormEpsilon
    self.width = width
    self.side = side
  }

  /// Queries, keys and values beside each other: [3 · width, width].
  public var attentionIn: LinearTensors {
    LinearTensors(
      weight: ExpectedTensor(Self.merger + "self_attn.in_proj_weight", [3 * width, width], .router, .linear),
      bias: ExpectedTensor(Self.merger + "self_attn.in_proj_bias", [3 * width], .router, .precious))
  }
  public var attentionOut: LinearTensors { linear(Self.merger + "self_attn.out_proj", width) }
  public var norm1: NormTensors { NormTensors(Self.merger + "norm1", width: width, .router) }
  public var linear1: LinearTensors { linear(Self.merger + "linear1", width) }
  public var linear2: LinearTensors { linear(Self.merger + "linear2", width) }
  public var norm2: NormTensors { NormTensors(Self.merger + "norm2", width: width, .router) }
  public var hiddenLayer: LinearTensors { linear(Self.prefix + "router.0", width) }
  public var outputLayer: LinearTensors { linear(Self.prefix + "router.2", granularities.count) }
  /// One weight for each row of the router's sequence, all granularities and then the filtered text: [rows, 1].
  public var voter: ExpectedTensor {
    ExpectedTensor(
      Self.prefix + "voter", [granularities.reduce(0, +) + filteredTextTokens, 1], .router, .precious)
  }
  /// Over the logits.
  public var norm: NormTensors { NormTensors(Self.prefix + "norm", width: granularities.count, .router) }

  public var tensors: [ExpectedTensor] {
    let merger = [attentionIn.all, attentionOut.all, norm1.all, linear1.all, linear2.all, norm2.all]
    let votes = [hiddenLayer.all, outputLayer.all, [voter], norm.all]
    return (merger + votes).flatMap { $0 }
  }

  private static let prefix = "model.router."
  private static let merger = prefix + "merger."

  private func linear(_ name: String, _ rows: Int) -> LinearTensors {
    LinearTensors(name, rows: rows, columns: width, .router)
  }
}
