import GristCore

/// The tensors that a checkpoint must hold, whether or not they make up a model that can be run.
public struct ModelInventory: Sendable {
  /// The family that knows them, as the manifest names it.
  public let family: String
  /// In execution order, under canonical names.
  public let tensors: [ExpectedTensor]
  /// The model; nil for a part of one.
  public let configuration: ModelConfiguration?

  /// The family's maps to canonical names; none where nobody was asked.
  public private(set) var maps: [NameMap] = []
  /// For people: what the family was recognised by; nil where nobody was asked.
  public private(set) var sign: String?

  public init(family: String, tensors: [ExpectedTensor], configuration: ModelConfiguration?) {
    self.family = family
    self.tensors = tensors
    self.configuration = configuration
  }

  /// Reads a model's configuration by the family that knows it.
  ///
  /// - Throws: 66 when the tower's configuration is missing, 65 naming the field that makes no sense.
  init(_ json: JSONReader, _ files: SideFiles, _ recognised: ModelFamilies.Recognised) throws {
    let inventory = try recognised.family.inventory(json, files)
    family = inventory.family
    tensors = inventory.tensors
    configuration = try inventory.configuration?.completed(by: files)
    sign =
      recognised.sign
      + (recognised.isCertain ? "" : ", which other kinds of models may share; no architecture is named")
    maps = recognised.family.maps
  }

  /// The same with a head that is not tied to the embeddings.
  func withOwnHead() -> ModelInventory {
    guard let own = configuration?.withOwnHead() else { return self }
    var copy = ModelInventory(family: own.family, tensors: own.expectedTensors, configuration: own)
    (copy.maps, copy.sign) = (maps, sign)
    return copy
  }

  /// Whether a router's choices are upstream's by construction: all that they depend on keeps its values. Nil where
  /// there is nothing to choose.
  ///
  /// - Parameter keepsValues: whether a tensor holds, or will hold, every value that upstream's holds.
  public func hasExactChoices(_ keepsValues: (ExpectedTensor) -> Bool) -> Bool? {
    guard configuration?.vision?.usesRouter == true else { return nil }
    return tensors.allSatisfy { !$0.part.decidesChoices || keepsValues($0) }
  }
}
