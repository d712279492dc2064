/// A CLIP vision tower's tensors, by upstream's names.
public struct TowerTensors: Sendable {
  static let prefix = "model.vision_tower.vision_tower.vision_model."

  /// [width]
  public let classEmbedding: ExpectedTensor
  /// A convolution whose stride is its kernel's: [width, 3, patch, patch].
  public let patchEmbedding: ExpectedTensor
  /// [patches + 1, width], the class token's first.
  public let positionEmbedding: ExpectedTensor
  public let preNorm: NormTensors
  /// All of the tower's, run or not.
  public let layers: [Layer]
  /// Never computed with: LLaVA takes the features of an earlier layer.
  let postNorm: NormTensors

  /// One layer's tensors.
  public struct Layer: Sendable {
    public let norm1: NormTensors
    public let query: LinearTensors
    public let key: LinearTensors
    public let value: LinearTensors
    public let out: LinearTensors
    public let norm2: NormTensors
    public let fc1: LinearTensors
    public let fc2: LinearTensors

    init(_ index: Int, _ tower: VisionConfiguration, isRun: Bool) {
      let prefix = "\(TowerTensors.prefix)encoder.layers.\(index)."
      let part = isRun ? ModelPart.visionLayer(index) : .unused
      let (width, inner) = (tower.hiddenSize, tower.intermediateSize)
      func norm(_ name: String) -> NormTensors { NormTensors(prefix + name, width: width, part, isRequired: isRun) }
      func linear(_ name: String, _ rows: Int, _ columns: Int) -> LinearTensors {
        LinearTensors(prefix + name, rows: rows, columns: columns, part, isRequired: isRun)
      }
      norm1 = norm("layer_norm1")
      query = linear("self_attn.q_proj", width, width)
      key = linear("self_attn.k_proj", width, width)
      value = linear("self_attn.v_proj", width, width)
      out = linear("self_attn.out_proj", width, width)
      norm2 = norm("layer_norm2")
      fc1 = linear("mlp.fc1", inner, width)
      fc2 = linear("mlp.fc2", width, inner)
    }

    var all: [ExpectedTensor] {
      [norm1.all, query.all, key.all, value.all, out.all, norm2.all, fc1.all, fc2.all].flatMap { $0 }
    }
  }

  /// - Parameters:
  ///   - tower: the tower's shape.
  ///   - layersRun: how many of its layers are needed; nil for all.
  public init(_ tower: VisionConfiguration, layersRun: Int? = nil) {
    let (prefix, width) = (Self.prefix, tower.hiddenSize)
    classEmbedding = ExpectedTensor(prefix + "embeddings.class_embedding", [width], .visionEmbeddings, .precious)
    patchEmbedding = ExpectedTensor(
      prefix + "embeddings.patch_embedding.weight", [width, 3, tower.patchSize, tower.patchSize], .visionEmbeddings,
      .linear)
    positionEmbedding = ExpectedTensor(
      prefix + "embeddings.position_embedding.weight", [tower.patches + 1, width], .visionEmbeddings, .precious)
    preNorm = NormTensors(prefix + "pre_layrnorm", width: width, .visionEmbeddings)
    layers = (0..<tower.layers).map { Layer($0, tower, isRun: $0 < layersRun ?? tower.layers) }
    postNorm = NormTensors(prefix + "post_layernorm", width: width, .unused, isRequired: false)
  }

  /// In execution order.
  public var all: [ExpectedTensor] {
    [classEmbedding, patchEmbedding, positionEmbedding] + preNorm.all + layers.flatMap(\.all) + postNorm.all
  }

  /// Whether a canonical name is of one of a vision tower's tensors, of any tower.
  public static func contains(_ name: String) -> Bool { name.hasPrefix(prefix) }
}
