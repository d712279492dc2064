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

  /// Reads a checkpoint's `config.json`; nil when it has none, or no family knows it.
  ///
  /// - Parameters:
  ///   - path: the checkpoint, for messages.
  ///   - choices: what whoever reads the checkpoint says about it.
  ///   - families: those to ask; the first that recognises the configuration reads it.
  ///   - storesHead: whether the weights hold a head, which is used then.
  ///   - file: finds a side file by name. What it throws is thrown on.
  ///
  /// - Throws: 66 when the tower's configuration is missing, 65 naming the field that makes no sense.
  public init?(
    path: String, choices: ConfigurationChoices = ConfigurationChoices(),
    families: [any ModelFamily] = ModelFamilies.builtIn, storesHead: Bool = false,
    file: @escaping (String) throws -> Bytes?
  ) throws {
    let files = SideFiles(path: path, choices: choices, find: file)
    guard let (json, found) = try files.recognised(among: families), let recognition = found else { return nil }
    let inventory = try recognition.family.inventory(json, files)
    let own = storesHead ? inventory.configuration?.withOwnHead() : nil
    self =
      own.map { ModelInventory(family: $0.family, tensors: $0.expectedTensors, configuration: $0) } ?? inventory
    let doubt = recognition.isCertain ? "" : ", which other kinds of models may share; no architecture is named"
    sign = recognition.sign + doubt
    maps = recognition.family.maps
  }
}
