import GristCore

/// What a model's small files tell of it, read once.
enum Recognition: Sendable {
  case noConfiguration
  case unknown(JSONReader)
  case known(ModelInventory)
  /// A part of a model, and what it says when it is asked something.
  case part(ModelInventory, GristError)

  /// - Throws: 66 when the tower's configuration is missing, 65 naming the field that makes no sense.
  init(_ files: SideFiles, families: [any ModelFamily]) throws {
    guard let (json, recognised) = try files.recognised(among: families) else {
      self = .noConfiguration
      return
    }
    guard let recognised else {
      self = .unknown(json)
      return
    }
    let inventory = try ModelInventory(json, files, recognised)
    guard inventory.configuration == nil else {
      self = .known(inventory)
      return
    }
    do {
      _ = try recognised.family.configuration(json, files)
      self = .known(inventory)
    } catch let error as GristError {
      self = .part(inventory, error)
    }
  }

  var inventory: ModelInventory? {
    switch self {
    case .known(let inventory), .part(let inventory, _): inventory
    case .unknown, .noConfiguration: nil
    }
  }

  /// With a head of its own where the weights hold one: that counts more than `tie_word_embeddings`, as in transformers
  /// 5.
  func storingHead(_ storesHead: Bool) -> Recognition {
    guard storesHead, case .known(let inventory) = self else { return self }
    return .known(inventory.withOwnHead())
  }

  /// - Throws: 66 when the model has no `config.json`, 65 when no family knows it or it is a part of a model.
  func configuration(path: String, families: [any ModelFamily]) throws -> ModelConfiguration {
    switch self {
    case .noConfiguration: throw GristError(.missingInput, "the model has no config.json", file: path)
    case .unknown(let json):
      throw GristError(
        .badData, "this version cannot run the architecture", file: json.file,
        found: json.value("architectures")?.text() ?? "none",
        advice: "it runs " + families.filter(\.isRunnable).flatMap(\.architectures).joined(separator: ", "))
    case .part(_, let error): throw error
    case .known(let inventory):
      guard let configuration = inventory.configuration else {
        throw GristError(.badData, "a part of a model, which cannot be run", file: path, found: inventory.family)
      }
      return configuration
    }
  }
}

extension ModelConfiguration {
  /// Reads the configuration out of a model's small files, by the family that knows it.
  ///
  /// - Parameters:
  ///   - path: the model, for messages.
  ///   - options: what is said about it.
  ///   - families: those to ask; the first that recognises the configuration reads it.
  ///   - storesHead: whether the weights hold a head: it is used then, tied or not.
  ///   - file: finds a small file by name; the tower's are under `vision_tower/`. What it throws is thrown on.
  ///
  /// - Throws: 66 when `config.json` or the tower's configuration is missing, 65 naming the field that makes no sense
  ///   or asks for something this version does not compute, or when no family knows the model.
  public init(
    path: String, options: ConfigurationOptions = ConfigurationOptions(),
    families: [any ModelFamily] = ModelFamilies.builtIn, storesHead: Bool = false,
    file: @escaping (String) throws -> Bytes?
  ) throws {
    let files = SideFiles(path: path, options: options, find: file)
    self = try Recognition(files, families: families).storingHead(storesHead)
      .configuration(path: path, families: families)
  }
}
