import GristCore

/// A model as Keras 3 saves it whole: a zip archive `.keras` of `config.json`, `metadata.json` and `model.weights.h5`,
/// all stored as they are. Nothing is unpacked: weights are read where they lie.
struct KerasArchive {
  static let ending = ".keras"
  private static let weightsName = "model.weights.h5"
  private static let configurationName = "config.json"
  private static let configurationLimit = 64 << 20

  let path: String
  let byteCount: Int
  let identity: FileIdentity
  let weights: HDF5File
  /// The model's `config.json`.
  let configuration: Bytes
  let notes: [String]

  /// The archive in a folder; nil when there is none.
  ///
  /// - Throws: 66 when nobody says which of several is meant.
  static func name(among contents: [String], folder: String) throws -> String? {
    let names = contents.filter { $0.hasSuffix(ending) }
    guard names.count <= 1 else {
      throw GristError(
        .missingInput, "several archives and nothing that says which is meant", file: folder,
        found: names.joined(separator: ", "), advice: "keep one, or name it")
    }
    return names.first
  }

  /// - Parameter helper: the program that reads HDF5; nil for the one beside the running program.
  ///
  /// - Throws: 66 when the archive is not there or holds no weights, 65 when it is damaged or holds what Keras does not
  ///   write, and what the reader of HDF5 throws.
  init(path: String, helper: String?) throws {
    let file = try MappedFile(path: path)
    let archive = try ZipDirectory(file)
    self.path = path
    byteCount = file.count
    identity = file.identity
    func member(_ name: String) throws -> ZipDirectory.Member {
      guard let member = archive.member(named: name) else {
        throw GristError(
          .missingInput, "the archive holds no \(name)", file: path,
          found: archive.members.map(\.name).joined(separator: ", "),
          advice: "save the model with Keras 3: model.save(\"NAME\(Self.ending)\")")
      }
      return member
    }
    let weightsMember = try member(Self.weightsName)
    configuration = try archive.contents(of: member(Self.configurationName), limit: Self.configurationLimit)
    try archive.check(weightsMember)
    weights = try HDF5File(path: path, range: weightsMember.range, helper: helper)
    let others = archive.members.map(\.name).filter {
      ![Self.weightsName, Self.configurationName, "metadata.json"].contains($0) && !$0.hasSuffix("/")
    }
    notes =
      ["\(Self.weightsName) in \(fileName(of: path)) is read by \(weights.confinement)"]
      + others.map { "\($0) in \(fileName(of: path)) is no part of the model and is left out" }
  }
}
