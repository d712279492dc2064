import GristCore

/// The part of the model a tensor belongs to; parts follow each other in execution order.
public enum ModelPart: Hashable, Sendable, Comparable {
  case tokenEmbeddings
  case visionEmbeddings
  case visionLayer(Int)
  case projector
  case router
  case languageLayer(Int)
  case head
  /// Tensors that are kept but never computed with.
  case unused

  /// Whether the router's choice depends on it: what sees the picture, what reads the question, and the router itself.
  public var decidesChoices: Bool {
    switch self {
    case .tokenEmbeddings, .visionEmbeddings, .visionLayer, .projector, .router: true
    case .languageLayer, .head, .unused: false
    }
  }

  /// Whether it is the vision tower's.
  public var isTower: Bool {
    switch self {
    case .visionEmbeddings, .visionLayer: true
    default: false
    }
  }

  /// The segment's name in a `.grist` file.
  public var segment: String {
    switch self {
    case .tokenEmbeddings: "embeddings"
    case .visionEmbeddings: "vision.embeddings"
    case .visionLayer(let layer): "vision.layer.\(layer)"
    case .projector: "projector"
    case .router: "router"
    case .languageLayer(let layer): "language.layer.\(layer)"
    case .head: "head"
    case .unused: "unused"
    }
  }
}

/// What a tensor is, as far as storing it is concerned.
public enum TensorKind: Sendable, Equatable {
  /// A weight matrix of a linear layer [outputs, inputs], or a convolution that acts like one.
  case linear
  /// A table that is looked up by row.
  case embedding
  /// Norms, biases, positions, voter, newline: small, and precious.
  case precious
  /// Unknown to us.
  case other
}

/// One tensor that a configuration asks for.
public struct ExpectedTensor: Sendable {
  public let name: String
  public let shape: [Int]
  public let part: ModelPart
  public let kind: TensorKind
  /// Whether the model cannot be computed without it.
  public let isRequired: Bool
}

extension ModelConfiguration {
  public static let tokenEmbeddingsName = "model.embed_tokens.weight"
  public static let headName = "lm_head.weight"
  public static let finalNormName = "model.norm.weight"
  public static let imageNewlineName = "model.image_newline"
  /// Whether a canonical name is of one of the vision tower's tensors, of any tower.
  public static func isTowerTensor(_ name: String) -> Bool { name.hasPrefix(visionPrefix) }

  public static let visionPrefix = "model.vision_tower.vision_tower.vision_model."
  public static let routerPrefix = "model.router."

  public static func languageLayerPrefix(_ layer: Int) -> String { "model.layers.\(layer)." }
  public static func visionLayerPrefix(_ layer: Int) -> String { "\(visionPrefix)encoder.layers.\(layer)." }
  /// Linear layer `index` of the projector; in upstream's `Sequential` GELUs take the odd places.
  public static func projectorPrefix(_ index: Int, of depth: Int) -> String {
    depth == 1 ? "model.mm_projector." : "model.mm_projector.\(2 * index)."
  }

  /// Every tensor the configuration asks for, in execution order, with upstream's names.
  public var expectedTensors: [ExpectedTensor] {
    var list = InventoryList()
    list.add(
      Self.tokenEmbeddingsName, [language.vocabularySize, language.hiddenSize], .tokenEmbeddings,
      language.tiesWordEmbeddings ? .linear : .embedding)
    if let vision {
      list.addTower(vision.tower, layersRun: vision.layersRun)
      addProjector(vision, to: &list)
    }
    if let vision, let router { addRouter(router, vision, to: &list) }
    for layer in 0..<language.layers { addLanguageLayer(layer, to: &list) }
    list.add(Self.finalNormName, [language.hiddenSize], .head, .precious)
    list.add(
      Self.headName, [language.vocabularySize, language.hiddenSize], .head, .linear,
      required: !language.tiesWordEmbeddings)
    return list.tensors
  }

  /// A vision tower's tensors alone, all of its layers among them.
  static func towerTensors(_ tower: VisionConfiguration) -> [ExpectedTensor] {
    var list = InventoryList()
    list.addTower(tower, layersRun: tower.layers)
    return list.tensors
  }

  private func addProjector(_ input: VisionInput, to list: inout InventoryList) {
    let width = input.tower.hiddenSize
    for index in 0..<input.projectorDepth {
      let name = String(Self.projectorPrefix(index, of: input.projectorDepth).dropLast())
      list.addBiased(name, language.hiddenSize, index == 0 ? width : language.hiddenSize, .projector)
    }
    list.add(
      Self.imageNewlineName, [language.hiddenSize], .projector, .precious,
      required: input.patchMerge == .spatial(unpad: true))
  }

  private func addRouter(_ router: RouterConfiguration, _ input: VisionInput, to list: inout InventoryList) {
    let granularities = input.granularities
    let merger = Self.routerPrefix + "merger."
    let hidden = language.hiddenSize
    list.add(merger + "self_attn.in_proj_weight", [3 * hidden, hidden], .router, .linear)
    list.add(merger + "self_attn.in_proj_bias", [3 * hidden], .router, .precious)
    list.addBiased(merger + "self_attn.out_proj", hidden, hidden, .router)
    list.addNorm(merger + "norm1", hidden, .router)
    list.addBiased(merger + "linear1", hidden, hidden, .router)
    list.addBiased(merger + "linear2", hidden, hidden, .router)
    list.addNorm(merger + "norm2", hidden, .router)
    list.addBiased(Self.routerPrefix + "router.0", hidden, hidden, .router)
    list.addBiased(Self.routerPrefix + "router.2", granularities.count, hidden, .router)
    list.add(
      Self.routerPrefix + "voter", [granularities.reduce(0, +) + router.filteredTextTokens, 1], .router, .precious)
    list.addNorm(Self.routerPrefix + "norm", granularities.count, .router)
  }

  /// Rows of the router's sequence: all granularities, then the filtered text.
  public func routerRows(_ router: RouterConfiguration) -> Int {
    granularities.reduce(0, +) + router.filteredTextTokens
  }

  private func addLanguageLayer(_ layer: Int, to list: inout InventoryList) {
    let prefix = Self.languageLayerPrefix(layer)
    let part = ModelPart.languageLayer(layer)
    let queryWidth = language.heads * language.headDimension
    let keyWidth = language.keyValueHeads * language.headDimension
    list.add(prefix + "input_layernorm.weight", [language.hiddenSize], part, .precious)
    list.add(prefix + "self_attn.q_proj.weight", [queryWidth, language.hiddenSize], part, .linear)
    list.add(prefix + "self_attn.k_proj.weight", [keyWidth, language.hiddenSize], part, .linear)
    list.add(prefix + "self_attn.v_proj.weight", [keyWidth, language.hiddenSize], part, .linear)
    list.add(prefix + "self_attn.o_proj.weight", [language.hiddenSize, queryWidth], part, .linear)
    list.add(prefix + "post_attention_layernorm.weight", [language.hiddenSize], part, .precious)
    list.add(prefix + "mlp.gate_proj.weight", [language.intermediateSize, language.hiddenSize], part, .linear)
    list.add(prefix + "mlp.up_proj.weight", [language.intermediateSize, language.hiddenSize], part, .linear)
    list.add(prefix + "mlp.down_proj.weight", [language.hiddenSize, language.intermediateSize], part, .linear)
  }
}

private struct InventoryList {
  var tensors: [ExpectedTensor] = []

  mutating func add(_ name: String, _ shape: [Int], _ part: ModelPart, _ kind: TensorKind, required: Bool = true) {
    tensors.append(ExpectedTensor(name: name, shape: shape, part: part, kind: kind, isRequired: required))
  }

  mutating func addNorm(_ name: String, _ width: Int, _ part: ModelPart, required: Bool = true) {
    add(name + ".weight", [width], part, .precious, required: required)
    add(name + ".bias", [width], part, .precious, required: required)
  }

  mutating func addBiased(_ name: String, _ rows: Int, _ columns: Int, _ part: ModelPart, required: Bool = true) {
    add(name + ".weight", [rows, columns], part, .linear, required: required)
    add(name + ".bias", [rows], part, .precious, required: required)
  }

  mutating func addTower(_ tower: VisionConfiguration, layersRun: Int) {
    let prefix = ModelConfiguration.visionPrefix
    let width = tower.hiddenSize
    add(prefix + "embeddings.class_embedding", [width], .visionEmbeddings, .precious)
    add(
      prefix + "embeddings.patch_embedding.weight", [width, 3, tower.patchSize, tower.patchSize], .visionEmbeddings,
      .linear)
    add(
      prefix + "embeddings.position_embedding.weight", [tower.patches + 1, width], .visionEmbeddings, .precious)
    addNorm(prefix + "pre_layrnorm", width, .visionEmbeddings)
    for layer in 0..<tower.layers {
      let isRun = layer < layersRun
      let part = isRun ? ModelPart.visionLayer(layer) : .unused
      let layerPrefix = ModelConfiguration.visionLayerPrefix(layer)
      addNorm(layerPrefix + "layer_norm1", width, part, required: isRun)
      for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
        addBiased(layerPrefix + "self_attn." + name, width, width, part, required: isRun)
      }
      addNorm(layerPrefix + "layer_norm2", width, part, required: isRun)
      addBiased(layerPrefix + "mlp.fc1", tower.intermediateSize, width, part, required: isRun)
      addBiased(layerPrefix + "mlp.fc2", width, tower.intermediateSize, part, required: isRun)
    }
    addNorm(prefix + "post_layernorm", width, .unused, required: false)
  }
}
