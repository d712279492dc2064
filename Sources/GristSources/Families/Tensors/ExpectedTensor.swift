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
  /// Norms, biases, positions, voter, newline: small, and kept as they came.
  case precious
  /// Unknown to us.
  case other
}

/// One tensor that a configuration asks for: the only place where its name and its shape are said. The list of what a
/// checkpoint must hold and the modules that compute with it are made of the same values.
public struct ExpectedTensor: Sendable, Equatable {
  public let name: String
  public let shape: [Int]
  public let part: ModelPart
  public let kind: TensorKind
  /// Whether the model cannot be computed without it.
  public let isRequired: Bool

  public init(_ name: String, _ shape: [Int], _ part: ModelPart, _ kind: TensorKind, isRequired: Bool = true) {
    self.name = name
    self.shape = shape
    self.part = part
    self.kind = kind
    self.isRequired = isRequired
  }

  /// Outputs of a matrix.
  public var rows: Int { shape.first ?? 0 }
  /// Inputs of a matrix: extents beyond the first, flattened.
  public var columns: Int { shape.dropFirst().reduce(1, *) }
  /// Values in all.
  public var count: Int { shape.reduce(1, *) }
}

/// A linear layer with a bias: `NAME.weight` [outputs, inputs] and `NAME.bias` [outputs].
public struct LinearTensors: Sendable {
  public let weight: ExpectedTensor
  public let bias: ExpectedTensor
  public var all: [ExpectedTensor] { [weight, bias] }

  public init(_ name: String, rows: Int, columns: Int, _ part: ModelPart, isRequired: Bool = true) {
    weight = ExpectedTensor(name + ".weight", [rows, columns], part, .linear, isRequired: isRequired)
    bias = ExpectedTensor(name + ".bias", [rows], part, .precious, isRequired: isRequired)
  }

  /// A layer whose tensors have names of their own.
  public init(weight: ExpectedTensor, bias: ExpectedTensor) {
    self.weight = weight
    self.bias = bias
  }
}

/// A LayerNorm: `NAME.weight` and `NAME.bias`, [width] each.
public struct NormTensors: Sendable {
  public let weight: ExpectedTensor
  public let bias: ExpectedTensor
  public var all: [ExpectedTensor] { [weight, bias] }

  public init(_ name: String, width: Int, _ part: ModelPart, isRequired: Bool = true) {
    weight = ExpectedTensor(name + ".weight", [width], part, .precious, isRequired: isRequired)
    bias = ExpectedTensor(name + ".bias", [width], part, .precious, isRequired: isRequired)
  }
}

extension ModelConfiguration {
  /// Every tensor the configuration asks for, in execution order, with upstream's names.
  public var expectedTensors: [ExpectedTensor] {
    [language.tokenEmbeddings] + (vision?.tensors(width: language.hiddenSize) ?? [])
      + (0..<language.layers).flatMap { DecoderLayerTensors($0, language).all } + [language.finalNorm, language.head]
  }
}

extension VisionInput {
  /// What a picture goes through: tower, projector and router.
  func tensors(width: Int) -> [ExpectedTensor] {
    TowerTensors(tower, layersRun: layersRun).all + ProjectorTensors(self, width: width).all + (router?.tensors ?? [])
  }
}
