/// The tensors between tower and language model, by upstream's names.
public struct ProjectorTensors: Sendable {
  /// Linear layers from the tower's width to the language model's.
  public let layers: [LinearTensors]
  /// The embedding that ends a row of patches, [width]; required where the layout asks for it.
  public let newline: ExpectedTensor

  /// - Parameters:
  ///   - input: how pictures come in.
  ///   - width: the language model's.
  public init(_ input: VisionInput, width: Int) {
    let depth = input.projectorDepth
    layers = (0..<depth).map { index in
      // In upstream's `Sequential` GELUs take the odd places.
      LinearTensors(
        depth == 1 ? "model.mm_projector" : "model.mm_projector.\(2 * index)", rows: width,
        columns: index == 0 ? input.tower.hiddenSize : width, .projector)
    }
    newline = ExpectedTensor(
      "model.image_newline", [width], .projector, .precious, isRequired: input.patchMerge == .spatial(unpad: true))
  }

  /// In execution order.
  public var all: [ExpectedTensor] { layers.flatMap(\.all) + [newline] }
}
