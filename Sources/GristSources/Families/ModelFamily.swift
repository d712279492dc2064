import GristCore

/// A way in which models of the LLaVA kind are written down: its configuration, its tensor names, its prompts.
/// Everything that differs between upstreams is behind this; what follows (recipes, kernels, verification) asks for
/// parts, never for a family.
///
/// `Docs/families.md` walks through one.
public protocol ModelFamily: Sendable {
  /// As manifests and reports name it.
  var name: String { get }
  /// Whether its checkpoints are models that can be run, not parts of one.
  var isRunnable: Bool { get }
  /// Names in `config.json`'s `architectures` that are this family's; in Keras's, the `class_name`.
  var architectures: [String] { get }
  /// Values of `config.json`'s `model_type` that are, where it names no architecture.
  var modelTypes: [String] { get }
  /// Maps from names that checkpoints of this family have to the canonical ones; one that changes nothing need not be
  /// there. The one under which most tensors are found is used.
  var maps: [NameMap] { get }

  /// What a checkpoint's configuration says.
  ///
  /// - Throws: 66 for a file that is missing, 65 naming the key that makes no sense or asks for what nobody computes.
  func configuration(_ json: JSONReader, _ files: SideFiles) throws -> ModelConfiguration

  /// What a checkpoint must hold, in execution order, under canonical names: what its configuration asks for, unless
  /// the family writes down a part of a model.
  ///
  /// - Throws: What reading the configuration throws.
  func inventory(_ json: JSONReader, _ files: SideFiles) throws -> ModelInventory
}

extension ModelFamily {
  public var isRunnable: Bool { true }

  public func inventory(_ json: JSONReader, _ files: SideFiles) throws -> ModelInventory {
    let configuration = try configuration(json, files)
    return ModelInventory(
      family: configuration.family, tensors: configuration.expectedTensors, configuration: configuration)
  }
}

/// The small files of a model, for a family to read.
public struct SideFiles {
  /// The model, for messages.
  public let path: String
  /// What was said about them.
  public let options: ConfigurationOptions
  private let find: (String) throws -> Bytes?

  public init(path: String, options: ConfigurationOptions, find: @escaping (String) throws -> Bytes?) {
    self.path = path
    self.options = options
    self.find = find
  }

  /// The name of the model's folder; nil for a file. What upstream calls a model by: of a trainer's `checkpoint-N` its
  /// folder's too, and in a hub's cache the repository's.
  public var folderName: String? {
    guard fileKind(at: path) == .folder, let place = resolvedPath(path) else { return nil }
    let parts = place.split(atBytesOf: "/")
    if let repository = parts.last(where: { $0.hasPrefix("models--") }) { return repository }
    guard let last = parts.last, last.hasPrefix("checkpoint-") else { return parts.last }
    return parts.suffix(2).joined(separator: "_")
  }

  /// Configuration keys that are passed over on purpose.
  public var ignoredKeys: Set<String> { options.ignoredKeys }

  /// A side file's bytes; nil when the model has none of that name.
  ///
  /// - Throws: What finding the file throws.
  public func bytes(_ name: String) throws -> Bytes? { try find(name) }

  /// A side file as JSON; nil when the model has none of that name.
  ///
  /// - Throws: 65 where it is no JSON.
  public func json(_ name: String) throws -> JSONReader? {
    guard let bytes = try find(name) else { return nil }
    let place = joinPath(path, name)
    return try JSONReader(locating(file: place) { try JSONValue.parse(bytes) }, file: place)
  }

  /// What says what a model is: the one file that is read before it is known which family's it is.
  static let configurationName = "config.json"

  /// The model's configuration, and the family that knows it, if one does; nil when the model has no configuration.
  ///
  /// - Throws: 65 where it is no JSON.
  func recognised(among families: [any ModelFamily]) throws -> (
    json: JSONReader, recognised: ModelFamilies.Recognised?
  )? {
    try json(Self.configurationName).map { ($0, ModelFamilies.recognise($0, among: families)) }
  }
}

extension JSONReader {
  /// Whether a configuration names one of these architectures, or where it names none, this model type.
  func names(anyOf architectures: Set<String>, orType type: String? = nil) -> Bool {
    guard let named = value("architectures")?.array, !named.isEmpty else {
      return type != nil && value("model_type")?.string == type
    }
    return named.contains { $0.string.map(architectures.contains) ?? false }
  }
}

/// The families that this version knows.
public enum ModelFamilies {
  public static let builtIn: [any ModelFamily] = [
    UpstreamLLaVA(), HuggingFaceLLaVA(), TextOnlyLLaMA(), HuggingFaceCLIP(), KerasHubLLaMA(), KerasHubCLIP(),
  ]

  /// A family, and what it was recognised by.
  public struct Recognised: Sendable {
    public let family: any ModelFamily
    /// For people: the configuration's key, and its value.
    public let sign: String
    /// Whether the configuration names the very class that reads it, not merely a kind of model.
    public let isCertain: Bool
  }

  /// The family that a `config.json` belongs to: by the architectures that it names, or Keras's class; where it names
  /// neither, by its model type. Nil when no family knows it.
  public static func recognise(
    _ json: JSONReader, among families: [any ModelFamily] = builtIn
  ) -> Recognised? {
    let architectures = json.value("architectures")?.array?.compactMap(\.string) ?? []
    let key = architectures.isEmpty ? "class_name" : "architectures"
    let names = architectures.isEmpty ? [json.value(key)?.string].compactMap { $0 } : architectures
    for family in families {
      if let name = names.first(where: family.architectures.contains) {
        return Recognised(family: family, sign: "\"\(key)\" names \(name)", isCertain: true)
      }
    }
    guard names.isEmpty, let type = json.value("model_type")?.string,
      let family = families.first(where: { $0.modelTypes.contains(type) })
    else { return nil }
    return Recognised(family: family, sign: "\"model_type\" is \(type)", isCertain: false)
  }
}
