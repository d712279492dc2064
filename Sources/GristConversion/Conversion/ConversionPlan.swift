import GristCore
import GristFormat
import GristKernels
import GristSources

/// What a conversion will do, decided before a byte is written: every tensor, in execution order, with its scheme.
public struct ConversionPlan: Sendable {
  public struct Entry: Sendable {
    public let tensor: SourceTensor
    public let scheme: TensorScheme
    public let reason: String
    /// Payload bytes before packing.
    public let payloadBytes: Int
    /// Whether the tensor is looked up by row, and so wants small chunks.
    let isTable: Bool
    /// Of a `.grist` source: the tensor as it is stored there.
    var stored: TensorRecord? { if case .record(let record) = kept { record } else { nil } }
    private let kept: Kept

    /// A record is large, and most plans have many entries without one.
    private indirect enum Kept {
      case nothing
      case record(TensorRecord)
    }

    /// Of a tensor that replaces the source's: how far from upstream's it is, as the error of a tensor; nil for others.
    let change: Double?

    init(
      tensor: SourceTensor, scheme: TensorScheme, reason: String, payloadBytes: Int, isTable: Bool,
      stored: TensorRecord?, change: Double? = nil
    ) {
      self.change = change
      self.tensor = tensor
      self.scheme = scheme
      self.reason = reason
      self.payloadBytes = payloadBytes
      self.isTable = isTable
      kept = stored.map { .record($0) } ?? .nothing
    }

    /// Whether what is stored is upstream's, value for value.
    var keepsValues: Bool {
      guard case .plain(let type) = scheme, change == nil, stored?.relativeError ?? 0 == 0 else { return false }
      return type == tensor.elementType || type == .f32 && [.f16, .bf16].contains(tensor.elementType)
    }

    /// Whether codes can be made with error feedback: they stand for a table's values, of columns that were turned.
    var takesFeedback: Bool {
      guard case .grouped(let grouped) = scheme else { return false }
      return grouped.coding.table != nil && grouped.coding.rotation != .none
    }

    /// Whether the stored payload is what is wanted, and so is copied.
    var isCopied: Bool { stored?.scheme == scheme }
  }

  public struct Segment: Sendable {
    public let name: String
    public let entries: [Entry]
    /// Nil for tensors that are no part of the model.
    let part: ModelPart?

  }

  public let segments: [Segment]
  /// Whether the file's router choices will be upstream's on any question, because all that they depend on stays value
  /// for value; nil where there is nothing to choose.
  public let hasExactChoices: Bool?
  /// The model's family, or "unknown".
  public let architecture: String
  /// For people: what the architecture was recognised by; nil where it is unknown.
  public let sign: String?
  public let notes: [String]
  /// Configuration keys that are passed over on purpose.
  public let configurationOptions: ConfigurationOptions
  /// The template that the checkpoint told by what a file does not keep, its folder's name among that.
  let toldTemplate: PromptTemplate?

  /// Whether any tensor becomes codes of a table, which can be made with error feedback.
  public var hasCodeTables: Bool {
    entries.contains { entry in
      if case .grouped(let grouped) = entry.scheme { grouped.coding.table != nil } else { false }
    }
  }

  /// Names of tensors that were quantized before and would be again, by another scheme: what was lost then is lost
  /// still.
  public var requantized: [String] {
    entries.filter { entry in
      guard case .grouped? = entry.stored?.scheme, case .grouped = entry.scheme else { return false }
      return !entry.isCopied
    }.map(\.tensor.name)
  }

  /// Of all segments; there may be very many, so they are not copied.
  public var entries: some Collection<Entry> { segments.lazy.flatMap(\.entries) }
  public var payloadBytes: Int { entries.reduce(0) { $0 + $1.payloadBytes } }
  public var sourceBytes: Int { entries.reduce(0) { $0 + $1.tensor.byteCount } }

  /// The bound on this conversion's memory beyond the program itself, in bytes: source, f32 and packed copies of a
  /// chunk for every thread, and one tensor that is looked at before it is encoded; twice more the largest that has to
  /// be transposed, as it came and as it becomes; and three KiB for every tensor.
  public func memoryBound(threads: Int) -> Int {
    let largestTensor = entries.map(\.tensor.byteCount).max() ?? 0
    let largestUnit =
      entries.compactMap { PayloadUnits(scheme: $0.scheme, shape: $0.tensor.shape)?.bytesPerUnit }
      .max() ?? 0
    let chunk = max(GristLayout.chunkTarget, largestUnit)
    let largestHeld = entries.filter(\.tensor.storage.holdsWholeTensor).map(\.tensor.byteCount).max() ?? 0
    // What is known of each tensor: its place, its decision, its line in the manifest.
    let described = entries.count * 3072
    return Converter.keptBytes + described + largestTensor + 2 * largestHeld + threads * Converter.chunksPerThread
      * chunk * 12
  }

  /// A tensor that is stored in place of the source's.
  package struct Replacement {
    package let tensor: SourceTensor
    /// ‖tensor − upstream's‖ / ‖upstream's‖, or a bound of it.
    package let change: Double

    package init(_ tensor: SourceTensor, change: Double) { (self.tensor, self.change) = (tensor, change) }
  }

  /// - Throws: 65 when a tensor the model needs is missing or has another shape, 64 when an override does not fit.
  public init(_ source: Source, recipe: Recipe) throws { try self.init(source, recipe: recipe, replacing: []) }

  /// The same, some tensors replaced by others of the same names: each is stored by the scheme of the one it replaces.
  ///
  /// - Throws: As ``init(_:recipe:)``.
  package init(_ source: Source, recipe: Recipe, replacing replacements: [Replacement]) throws {
    var notes = source.notes
    let replaced = Dictionary(
      replacements.map { (ByteName($0.tensor.name), $0) }, uniquingKeysWith: { first, _ in first })
    let tensors = try source.tensors().map { replaced[ByteName($0.name)]?.tensor ?? $0 }
    for override in recipe.overrides where !tensors.contains(where: { override.applies(to: $0.name) }) {
      notes.append("--set \(override.text) matches no tensor")
    }
    var remaining = Dictionary(
      tensors.map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
    configurationOptions = source.configurationOptions
    let known = source.inventory
    let expected = Dictionary(
      known?.tensors.map { (ByteName($0.name), $0) } ?? [], uniquingKeysWith: { first, _ in first })
    try recipe.checkOverrides(tensors.map { ($0, expected[ByteName($0.name)]) })
    let format = known?.configuration?.format
    toldTemplate = format?.toldTemplate
    if toldTemplate != nil, let note = format?.note { notes.append("it will be " + note) }
    guard let inventory = known else {
      let entries = try tensors.map { tensor in
        try Self.entry(tensor, recipe.decideUnknown(tensor), isTable: false, from: source)
      }
      segments = [Segment(name: "tensors", entries: entries, part: nil)]
      architecture = "unknown"
      sign = nil
      hasExactChoices = nil
      self.notes =
        notes + ["the architecture is unknown: tensors are stored by name, but cannot be run"]
        + [Self.changedShare(entries, recipe)].compactMap { $0 }
      return
    }
    var parts: [(part: ModelPart, entries: [Entry])] = []
    for expected in inventory.tensors {
      guard let tensor = remaining.removeValue(forKey: ByteName(expected.name)) else {
        guard expected.isRequired else { continue }
        throw Self.missing(expected, source: source, inventory)
      }
      guard tensor.shape == expected.shape else {
        throw GristError(
          .badData, "the shape is not what config.json asks for", file: tensor.file, tensor: tensor.name,
          offset: tensor.offset, found: "\(tensor.shape) instead of \(expected.shape)")
      }
      let entry = try Self.entry(
        tensor, recipe.decide(tensor, as: expected), isTable: expected.kind == .embedding, from: source,
        change: replaced[ByteName(tensor.name)]?.change)
      if let last = parts.indices.last, parts[last].part == expected.part {
        parts[last].entries.append(entry)
      } else if let known = parts.firstIndex(where: { $0.part == expected.part }) {
        parts[known].entries.append(entry)
      } else {
        parts.append((expected.part, [entry]))
      }
    }
    // What is never computed with goes last, out of the way of what is.
    parts = parts.filter { $0.part != .unused } + parts.filter { $0.part == .unused }
    var segments = parts.map { Segment(name: $0.part.segment, entries: $0.entries, part: $0.part) }
    let rest = remaining.values.sorted { ByteName($0.name) < ByteName($1.name) }
    let kept = rest.filter { $0.origin.unused != nil }
    let unknown = rest.filter { $0.origin.unused == nil }
    for (name, tensors) in [("unused", kept), ("other", unknown)] where !tensors.isEmpty {
      let entries = try tensors.map { try Self.entry($0, recipe.decide($0, as: nil), isTable: false, from: source) }
      if let last = segments.indices.last, segments[last].name == name {
        segments[last] = Segment(name: name, entries: segments[last].entries + entries, part: segments[last].part)
      } else {
        segments.append(Segment(name: name, entries: entries, part: nil))
      }
    }
    if !unknown.isEmpty {
      notes +=
        unknown.count > 3
        ? [
          "\(unknown.count) tensors, \(unknown[0].name) the first, are unknown to the model; they are stored as they came"
        ]
        : unknown.map { "\($0.name) is unknown to the model; it is stored as it came" }
    }
    self.segments = segments
    let deciding = Dictionary(
      parts.filter(\.part.decidesChoices).flatMap(\.entries).map { (ByteName($0.tensor.name), $0.keepsValues) },
      uniquingKeysWith: { first, _ in first })
    let keepsUpstreams = replacements.isEmpty && source.alignment == nil
    hasExactChoices = inventory.hasExactChoices { keepsUpstreams && deciding[ByteName($0.name)] ?? true }
    architecture = inventory.family
    sign = inventory.sign
    if inventory.configuration == nil { notes.append("a part of a model: it can be kept, but not run by itself") }
    self.notes = notes
  }

  /// Says so when a recipe that quantizes changes next to nothing of what it was given.
  private static func changedShare(_ entries: [Entry], _ recipe: Recipe) -> String? {
    guard recipe.name != .source else { return nil }
    let total = entries.reduce(0) { $0 + $1.tensor.byteCount }
    let changed = entries.filter { if case .grouped = $0.scheme { true } else { false } }
      .reduce(0) { $0 + $1.tensor.byteCount }
    guard total > 0, Double(changed) < 0.1 * Double(total) else { return nil }
    return
      "the recipe \(recipe.name.rawValue) quantizes \(changed) of \(total) bytes: the rest are not matrices of 16 rows and "
      + "\(TileShape.groupSizes[0]) columns, and stay as they are"
  }

  private static func entry(
    _ tensor: SourceTensor, _ decision: Recipe.Decision, isTable: Bool, from source: Source, change: Double? = nil
  ) throws -> Entry {
    let stored = source.file?.tensor(named: tensor.name)
    if case .unknown(let scheme)? = stored?.scheme { throw scheme.error(file: source.path, tensor: tensor.name) }
    let scheme = stored.flatMap { $0.scheme.satisfies(decision) ? $0.scheme : nil } ?? decision.scheme
    let encoder = try TensorEncoder(tensor, scheme: scheme)
    return Entry(
      tensor: tensor, scheme: scheme, reason: decision.reason, payloadBytes: encoder.units.payloadBytes,
      isTable: isTable, stored: change == nil ? stored : nil, change: change)
  }

  private static func missing(
    _ expected: ExpectedTensor, source: Source, _ inventory: ModelInventory
  ) -> GristError {
    let towerName = expected.part.isTower ? inventory.configuration?.vision?.towerName : nil
    return GristError(
      .badData, "the checkpoint lacks a tensor that its config.json asks for", file: source.path,
      tensor: expected.name,
      advice: towerName.map { "if the tower was left out upstream, pass the folder of \($0) with --vision-tower" }
        ?? "fetch the checkpoint again")
  }
}

extension TensorScheme {
  /// Whether a tensor that is stored like this already is what was decided: the same scheme (the scale exponent follows
  /// the values), or anything where it is to stay as it came.
  fileprivate func satisfies(_ decision: Recipe.Decision) -> Bool {
    if decision.keepsSource { return true }
    guard case .grouped(let wanted) = decision.scheme, case .grouped(let stored) = self else {
      return self == decision.scheme
    }
    return wanted.isLike(stored)
  }
}
