import GristCore
import GristFormat

/// A model as a user names it: an upstream checkpoint, or a `.grist` file.
///
/// It is opened and recognised once, whatever is done with it then: converting, running, verifying.
public struct Source: Sendable {
  public enum Storage: Sendable {
    /// Under canonical names, as far as its family is known.
    case checkpoint(Checkpoint)
    case grist(GristFile)
  }

  public let storage: Storage
  /// What was said about it when it was opened.
  public let options: SourceOptions
  /// What is said about its configuration, now or at an earlier conversion.
  public let configurationOptions: ConfigurationOptions
  private let recognition: Recognition
  /// Small files that are others than the stored ones.
  private var replacedFiles: [ByteName: Bytes] = [:]

  /// Opens what is at a path.
  ///
  /// - Parameters:
  ///   - path: a checkpoint folder, a lone file of weights, or a `.grist` file.
  ///   - options: what is said about it; of a `.grist` file what is said about its configuration counts, and the
  ///     families.
  ///
  /// - Throws: 66 when nothing is there, 65 when a configuration makes no sense, and what the reader of what is there
  ///   throws.
  public static func open(path: String, options: SourceOptions = SourceOptions()) throws -> Source {
    if Checkpoint.isThere(at: path) { return try Source(Checkpoint(path: path, options: options), options: options) }
    guard fileKind(at: path) != nil else {
      throw GristError(.missingInput, "no such model: neither a .grist file nor a checkpoint folder", file: path)
    }
    return try Source(GristFile(path: path), options: options)
  }

  /// A checkpoint under the names that it has.
  ///
  /// - Throws: 66 when the tower's configuration is missing, 65 when a configuration makes no sense or the tensors do
  ///   not come out as a map of names says.
  public init(_ checkpoint: Checkpoint, options: SourceOptions = SourceOptions()) throws {
    let recognition = try Recognition(checkpoint, options: options)
    let named = try checkpoint.canonical(recognition.inventory, options)
    self.options = options
    configurationOptions = options.configuration
    storage = .checkpoint(named)
    self.recognition = recognition.storingHead(named.tensor(named: LanguageConfiguration.headName) != nil)
    try requireGrids()
  }

  /// A `.grist` file.
  ///
  /// - Throws: 66 when the tower's configuration is missing, 65 when a configuration makes no sense.
  public init(_ file: GristFile, options: SourceOptions = SourceOptions()) throws {
    try self.init(file, options: options, replacedFiles: [:])
  }

  private init(_ file: GristFile, options: SourceOptions, replacedFiles: [ByteName: Bytes]) throws {
    self.options = options
    self.replacedFiles = replacedFiles
    configurationOptions = options.configuration.adding(to: ConfigurationOptions(file.manifest.provenance))
    storage = .grist(file)
    let files = SideFiles(path: file.path, options: configurationOptions) {
      try replacedFiles[ByteName($0)] ?? file.sideFile(named: $0)
    }
    recognition = try Recognition(files, families: options.families).storingHead(
      file.tensor(named: LanguageConfiguration.headName) != nil)
    try requireGrids()
  }

  /// - Throws: 64 when unpadding is to be corrected and the model has no grids to choose from.
  private func requireGrids() throws {
    guard options.configuration.correctsUnpadding == true, let configuration = inventory?.configuration,
      configuration.vision?.unpadding != .byCells || configuration.granularities.count < 2
    else { return }
    throw GristError(
      .usage, "unpadding can be corrected for a model with several granularities alone", file: path,
      found: configuration.family)
  }

  /// The same `.grist` file with another small file in place of one that it holds; its weights stay as they are.
  ///
  /// - Throws: 64 for a checkpoint and for a file that is not there, and what opening the source so throws.
  package func replacing(_ name: String, with bytes: Bytes) throws -> Source {
    guard let file, try sideFile(named: name) != nil else {
      throw GristError(.usage, "a file inside a .grist file alone can be replaced", file: path, found: name)
    }
    return try Source(file, options: options, replacedFiles: replacedFiles.merging([ByteName(name): bytes]) { $1 })
  }

  public var path: String {
    switch storage {
    case .grist(let file): file.path
    case .checkpoint(let checkpoint): checkpoint.path
    }
  }

  /// The checkpoint; nil for a `.grist` file.
  public var checkpoint: Checkpoint? { if case .checkpoint(let checkpoint) = storage { checkpoint } else { nil } }

  /// The `.grist` file, and so what an earlier conversion made; nil for a checkpoint.
  public var file: GristFile? { if case .grist(let file) = storage { file } else { nil } }

  /// One of the small files that belong to the model; nil when it has none of that name.
  ///
  /// - Throws: 65 when the file is damaged.
  public func sideFile(named name: String) throws -> Bytes? {
    if let replaced = replacedFiles[ByteName(name)] { return replaced }
    return switch storage {
    case .grist(let file): try file.sideFile(named: name)
    case .checkpoint(let checkpoint): checkpoint.sideFile(named: name)
    }
  }

  /// Its small files, with what is said about them.
  public var sideFiles: SideFiles { SideFiles(path: path, options: configurationOptions, find: sideFile) }

  /// All tensors; of a `.grist` file the quantized ones are expanded to f32 when they are read.
  ///
  /// - Throws: 65 when a shape is too large for that.
  public func tensors() throws -> [SourceTensor] {
    switch storage {
    case .grist(let file): try file.sourceTensors()
    case .checkpoint(let checkpoint): checkpoint.tensors
    }
  }

  /// What it should hold; nil when the architecture is unknown and tensors can only be stored.
  public var inventory: ModelInventory? { recognition.inventory }

  /// What the model is.
  ///
  /// - Throws: 66 when it has no `config.json`, 65 when no family knows it or it is only a part of a model.
  public func configuration() throws -> ModelConfiguration {
    try recognition.configuration(path: path, families: options.families)
  }

  /// What the weights have lost since upstream, as a reader of a report would want it said; nil when they are
  /// upstream's, value for value.
  public var loss: String? {
    guard let file, file.manifest.provenance.isLossy else { return nil }
    let recipes = file.manifest.provenance.lineage.filter(\.isLossy).map(\.recipe)
    return recipes.isEmpty
      ? "its file does not tell what its weights went through"
      : "its weights went through " + recipes.joined(separator: ", ")
  }

  /// Whether the router's choices are upstream's whatever the question, because everything they depend on is stored
  /// value for value and computed at full precision; nil for a checkpoint, and for a model without a router.
  public var hasExactChoices: Bool? {
    guard let file else { return nil }
    if alignment != nil { return false }
    return inventory?.hasExactChoices { expected in file.tensor(named: expected.name)?.keepsValues ?? true }
  }

  /// How its router was trained anew; nil where its choices are upstream's, but for what storing it lost.
  public var alignment: Provenance.Alignment? { file?.manifest.provenance.alignment }

  /// The fingerprint of the weights this model was made from; of a checkpoint it is computed, which reads all of it.
  ///
  /// - Throws: What reading the weights throws, 130 when the user interrupts.
  public func fingerprint() throws -> String {
    switch storage {
    case .grist(let file): file.manifest.provenance.fingerprint
    case .checkpoint(let checkpoint): try checkpoint.fingerprint()
    }
  }
}
