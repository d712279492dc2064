import GristCore
import GristFormat
import GristSources

/// What is converted: an upstream checkpoint folder, or a `.grist` file that is repacked or quantized further.
public struct ConversionSource: Sendable {
  public let path: String
  public let tensors: [SourceTensor]
  /// Small files that travel with the weights.
  public let files: [Checkpoint.SideFile]
  public let notes: [String]
  /// Files whose SHA-256 becomes provenance.
  let weightFiles: [Checkpoint.WeightFile]
  /// The `.grist` file that is converted again; nil for a checkpoint. Its provenance stays true, and what it stores
  /// already as it is wanted is copied, not encoded anew.
  let stored: GristFile?

  /// What is said about its configuration, or was at an earlier conversion.
  public let choices: ConfigurationChoices

  /// Whether it is a `.grist` file, and so what an earlier conversion made.
  public var isConverted: Bool { stored != nil }

  var inherited: Provenance? { stored?.manifest.provenance }

  /// A checkpoint folder, or a `.grist` file.
  ///
  /// - Throws: 66 and 65 as their readers do.
  ///
  /// - Parameters:
  ///   - path: the folder, archive or file.
  ///   - reading: how a checkpoint folder is read; of a `.grist` file only its configuration.
  public static func open(
    path: String, reading: CheckpointReading = CheckpointReading()
  ) throws -> ConversionSource {
    switch fileKind(at: path) {
    case _ where Checkpoint.isThere(at: path):
      return ConversionSource(try reading.checkpoint(at: path), choices: reading.choices)
    case nil: throw GristError(.missingInput, "no such checkpoint folder or .grist file", file: path)
    default:
      guard reading.visionTower == nil, reading.map == nil else {
        throw GristError(
          .usage, "\(reading.map == nil ? "--vision-tower" : "--map") goes with a checkpoint folder", file: path)
      }
      return try ConversionSource(GristFile(path: path), choices: reading.choices)
    }
  }

  /// Where the header of a source's weight file is kept inside a `.grist`.
  static let headerFolder = "source/"

  init(_ checkpoint: Checkpoint, choices: ConfigurationChoices) {
    self.choices = choices
    path = checkpoint.path
    tensors = checkpoint.tensors
    notes = checkpoint.notes
    weightFiles = checkpoint.weightFiles
    files =
      checkpoint.sideFiles
      + checkpoint.weightFiles.compactMap { file in
        file.header.map { Checkpoint.SideFile(name: Self.headerFolder + file.name + ".header", bytes: $0) }
      }
    stored = nil
  }

  /// Quantized tensors of a `.grist` are expanded to f32 when they go into another scheme.
  init(_ file: GristFile, choices: ConfigurationChoices) throws {
    self.choices = choices.adding(to: ConfigurationChoices(file.manifest.provenance))
    path = file.path
    tensors = try file.sourceTensors()
    // A record of reference answers belongs to the weights it was made from, and so stays with them.
    files = try file.manifest.files.map { record in
      guard let bytes = try file.sideFile(named: record.name) else {
        throw GristError(.badData, "a file it should hold is not there", file: file.path, found: record.name)
      }
      return Checkpoint.SideFile(name: record.name, bytes: bytes)
    }
    notes =
      file.manifest.tensors.contains { if case .grouped = $0.scheme { true } else { false } }
      ? ["some tensors are quantized already: what was lost then stays lost, and recorded errors become bounds"] : []
    weightFiles = []
    stored = file
  }

  /// What it should hold; nil when the architecture is unknown and tensors can only be stored.
  ///
  /// - Throws: 66 when the tower's configuration is missing, 65 naming the field that makes no sense.
  public func inventory() throws -> ModelInventory? {
    let storesHead = tensors.contains { $0.name == ModelConfiguration.headName }
    return try ModelInventory(path: path, choices: choices, storesHead: storesHead) { name in
      files.first { $0.name == name }?.bytes
    }
  }
}
