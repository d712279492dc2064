import GristCore
import GristFormat
import GristSources

/// What a conversion asks of its source.
extension Source {
  /// Where the header of a source's weight file is kept inside a `.grist`.
  static let headerFolder = "source/"

  /// Small files that travel with the weights.
  ///
  /// - Throws: 65 when one is damaged, or is not there though the file lists it.
  func keptFiles() throws -> [Checkpoint.SideFile] {
    switch storage {
    case .checkpoint(let checkpoint):
      checkpoint.sideFiles
        + checkpoint.weightFiles.compactMap { file in
          file.header.map { Checkpoint.SideFile(name: Self.headerFolder + file.name + ".header", bytes: $0) }
        }
    case .grist(let file):
      // A record of reference answers belongs to the weights it was made from, and so stays with them.
      try file.manifest.files.map { record in
        guard let bytes = try sideFile(named: record.name) else {
          throw GristError(.badData, "a file it should hold is not there", file: file.path, found: record.name)
        }
        return Checkpoint.SideFile(name: record.name, bytes: bytes)
      }
    }
  }

  /// What was met and might surprise.
  var notes: [String] {
    switch storage {
    case .checkpoint(let checkpoint): checkpoint.notes
    case .grist(let file):
      file.manifest.tensors.contains { if case .grouped = $0.scheme { true } else { false } }
        ? ["some tensors are quantized already: what was lost then stays lost, and recorded errors become bounds"] : []
    }
  }

  /// Files whose SHA-256 becomes provenance; none of a `.grist` file, whose provenance stays true.
  var weightFiles: [Checkpoint.WeightFile] {
    if case .checkpoint(let checkpoint) = storage { checkpoint.weightFiles } else { [] }
  }

  /// - Throws: 64 when something was said that goes with a checkpoint, and this is a file.
  func requireFittingOptions() throws {
    guard file != nil, options.visionTower != nil || options.map != nil else { return }
    throw GristError(
      .usage, "\(options.map == nil ? "--vision-tower" : "--map") goes with a checkpoint folder", file: path)
  }
}
